"""Dates in words: what period a question speaks of, on the day on which it is asked."""

import re
from datetime import date

import pytest

from overfetch import period_in

DAY = date(2024, 2, 10)


@pytest.mark.parametrize(
    ("question", "first", "last"),
    [
        ("reentrancy, spring 2022", "2022-03-01", "2022-05-31"),
        ("winter 2022", "2021-12-01", "2022-02-28"),
        ("q3 2021 hacks", "2021-07-01", "2021-09-30"),
        ("2021 q3", "2021-07-01", "2021-09-30"),
        ("the third quarter of 2021", "2021-07-01", "2021-09-30"),
        ("h1 2023", "2023-01-01", "2023-06-30"),
        ("first half of 2023", "2023-01-01", "2023-06-30"),
        ("second half of june 2023", "2023-06-16", "2023-06-30"),
        ("early 2023", "2023-01-01", "2023-04-30"),
        ("mid-2023", "2023-05-01", "2023-08-31"),
        ("late 2023", "2023-09-01", "2023-12-31"),
        ("in the beginning of March 2023", "2023-03-01", "2023-03-11"),
        ("exploits at the end of last year", "2023-12-01", "2023-12-31"),
        ("last quarter", "2023-10-01", "2023-12-31"),
        ("last december", "2023-12-01", "2023-12-31"),
        ("last spring", "2023-03-01", "2023-05-31"),
        ("this year", "2024-01-01", "2024-12-31"),
        ("last month", "2024-01-01", "2024-01-31"),
        ("in the past ten days", "2024-01-31", "2024-02-10"),
        ("yesterday", "2024-02-09", "2024-02-09"),
        ("before 2021", "1900-01-01", "2020-12-31"),
        ("since June 2022", "2022-06-01", "2099-12-31"),
        ("after 10 March 2023", "2023-03-11", "2099-12-31"),
        ("until march 2023", "1900-01-01", "2023-03-31"),
        ("between 3 and 9 March 2023", "2023-03-03", "2023-03-09"),
        ("jan to aug 2025", "2025-01-01", "2025-08-31"),
        ("from q1 2022 to q3 2022", "2022-01-01", "2022-09-30"),
        ("hacks 2022-2023", "2022-01-01", "2023-12-31"),
        ("jan-aug 2025", "2025-01-01", "2025-08-31"),
        ("q1-q3 2022", "2022-01-01", "2022-09-30"),
        ("dec to feb 2023", "2022-12-01", "2023-02-28"),
        ("the last week of december 2023", "2023-12-25", "2023-12-31"),
        ("March 13th, 2023", "2023-03-13", "2023-03-13"),
        ("2023-03-13", "2023-03-13", "2023-03-13"),
        ("2023-03", "2023-03-01", "2023-03-31"),
        ("hacks in 2022", "2022-01-01", "2022-12-31"),
        ("a 8-k from 2019", "2019-01-01", "2019-12-31"),
        ("first half of july 2023", "2023-07-01", "2023-07-15"),
        ("second half of july 2023", "2023-07-16", "2023-07-31"),
        ("since two weeks ago", "2024-01-27", "2099-12-31"),
        ("two weeks after 15 September 2022", "2022-09-16", "2022-09-29"),
        ("over easter 2024", "2024-03-29", "2024-04-01"),
        ("halloween 2023", "2023-10-31", "2023-10-31"),
        ("the week of 10 july 2024", "2024-07-08", "2024-07-14"),
        ("winter 2023/24", "2023-12-01", "2024-02-29"),
        ("first ten days of november 2022", "2022-11-01", "2022-11-10"),
        ("last two weeks of june 2023", "2023-06-17", "2023-06-30"),
        ("jan 7th to 14th 2025", "2025-01-07", "2025-01-14"),
        ("last fortnight", "2024-01-27", "2024-02-10"),
        ("nov '22", "2022-11-01", "2022-11-30"),
        ("1Q24", "2024-01-01", "2024-03-31"),
        ("11/2023", "2023-11-01", "2023-11-30"),
        ("in 2021 or 2022", "2021-01-01", "2022-12-31"),
        ("2023 onwards", "2023-01-01", "2099-12-31"),
        ("shortly after 3 may 2023", "2023-05-04", "2023-05-17"),
        ("costco dividend 2023", "2023-01-01", "2023-12-31"),  # no `end 2023`
        ("standby 2023", "2023-01-01", "2023-12-31"),  # no `by 2023`
        ("the monday after 21 february 2023", "2023-02-22", "2023-02-28"),  # no `day after`
        ("run-up to 15 september 2022", "2022-08-16", "2022-09-14"),  # no `up to`
        ("29/05/2023", "2023-05-29", "2023-05-29"),
        ("5/29/2023", "2023-05-29", "2023-05-29"),
        ("5/6/2023", "2023-01-01", "2023-12-31"),  # in May or in June
        ("2023/05/29", "2023-05-29", "2023-05-29"),
        ("29-05-2023", "2023-05-29", "2023-05-29"),
        ("the hack of 20230529", "2023-05-29", "2023-05-29"),
        ("29 May 23", "2023-05-29", "2023-05-29"),
        ("spring 22", "2022-03-01", "2022-05-31"),
        ("2021-22", "2021-01-01", "2022-12-31"),
        ("2011-12", "2011-12-01", "2011-12-31"),
        ("the past year", "2023-02-10", "2024-02-10"),
        ("hacks in march", "2023-03-01", "2023-03-31"),
        ("from november to january", "2023-11-01", "2024-01-31"),
        ("in august or september 2022", "2022-08-01", "2022-09-30"),
        ("since january", "2024-01-01", "2099-12-31"),
        ("in Feb", "2024-02-01", "2024-02-29"),
        ("christmas week 2021", "2021-12-20", "2021-12-26"),
        ("biggest hacks ytd", "2024-01-01", "2024-02-10"),
        ("so far this year", "2024-01-01", "2024-02-10"),
        ("last weekend's hack", "2024-02-03", "2024-02-04"),
        ("latest hacks of 2022", "2022-01-01", "2022-12-31"),
        ("2022 ethereum hacks", "2022-01-01", "2022-12-31"),
        ("2022 bnb chain hack", "2022-01-01", "2022-12-31"),
    ],
)
def test_dates_in_words(question: str, first: str, last: str) -> None:
    found = period_in(question, DAY)
    assert found is not None
    assert [str(found.first), str(found.last), found.near] == [first, last, False]


@pytest.mark.parametrize("question", ["around 10 March 2023", "about 2023-03-10", "near March 10 2023"])
def test_around_a_day_is_near_it(question: str) -> None:
    found = period_in(question, DAY)
    assert found is not None
    assert found == (date(2023, 3, 10), date(2023, 3, 10), True)


@pytest.mark.parametrize("question", ["latest hacks", "the most recent bridge hack", "newest EIPs", "hacked recently"])
def test_the_latest_is_all_until_today_and_the_later_the_closer(question: str) -> None:
    found = period_in(question, DAY)
    assert found is not None
    assert found == found.whole == (date(1900, 1, 1), DAY, True)
    assert [(DAY - closer.first).days for closer in found.closer] == [10, 40, 150, 600]
    assert {closer.last for closer in found.closer} == {DAY}


@pytest.mark.parametrize(
    "question",
    [
        "eip 2015",
        "ERC-2021",
        "2000 eth",
        "$2023",
        "2022 usd",
        "2000 WBNB",
        "2050 AVAX stolen",
        "in march 3",
        "it drains and may burn",
        "recent block hashes",
        "2,021",
        "it may fall",
        "APY and APR manipulation",
        "tokens of DEC and MAR",
        "stolen from Jan",
        "did the price fall 20 percent",
        "on 12 may 25 wallets were drained",
        "hacks after the latest upgrade",
        "before the latest fork",
        "x",
    ],
)
def test_what_is_no_date_is_not_read_as_one(question: str) -> None:
    assert period_in(question, DAY) is None


def test_a_day_that_is_only_named_counts_where_it_is_meant_as_a_date() -> None:
    def landmarks(text: str) -> dict[str, re.Match[str]]:
        return {"2022-09-15": found} if (found := re.search("the merge", text)) else {}

    assert period_in("changes of the merge", DAY, landmarks) is None
    assert period_in("the year of the merge", DAY, landmarks) == (date(2022, 1, 1), date(2022, 12, 31), False)
    assert period_in("hacks before the merge", DAY, landmarks) == (date(1900, 1, 1), date(2022, 9, 14), False)
    assert period_in("hacks before the merge", date(2022, 9, 14), landmarks) is None, "nobody knew when it would come"


def test_a_period_is_a_condition_of_whole_days() -> None:
    found = period_in("march 2023", DAY)
    assert found is not None
    bound = found.within(1).of("date")
    assert f"{bound.start:%Y-%m-%dT%H:%M:%S} {bound.end:%Y-%m-%dT%H:%M:%S}" == "2023-02-28T00:00:00 2023-04-01T23:59:59"


@pytest.mark.parametrize(
    ("question", "day", "first"),
    [
        ("this winter", date(2024, 12, 20), date(2024, 12, 1)),
        ("this winter", date(2024, 3, 10), date(2023, 12, 1)),
        ("last winter", date(2024, 12, 20), date(2023, 12, 1)),
        ("last winter", date(2024, 2, 10), date(2022, 12, 1)),
    ],
)
def test_a_winter_begins_in_the_year_before(question: str, day: date, first: date) -> None:
    period = period_in(question, day)
    assert period is not None
    assert period.first == first

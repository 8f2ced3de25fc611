"""Dates in words, by rule: days, months, quarters, seasons and years, parts of them, and what is around, before, after
or between.

Seasons are the northern ones in whole months, and a winter has the name of the year in which it ends.
"""

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import NamedTuple

from paiddaily.vocabulary import said

LOOKED_AT = 1_000  # characters of a question
EVER, NEVER = date(1900, 1, 1), date(2099, 12, 31)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SEASONS = {"winter": -1, "spring": 2, "summer": 5, "autumn": 8, "fall": 8}  # begun so many months after January
ORDER = ("first", "second", "third", "fourth", "last")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
UNITS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}

YEAR = r"(?P<year>(?:19|20)\d\d)"
MONTH = rf"(?P<month>(?:{'|'.join(MONTHS)})(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?)\.?"
DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
SEASON = rf"(?P<season>{'|'.join(SEASONS)})"
DIVISION = r"(?P<division>[qh][1-4])"
COUNT = rf"(?P<count>\d{{1,3}}|an?|couple of|few|{'|'.join(NUMBERS)})"
UNIT = rf"(?P<unit>{'|'.join(UNITS)})s?"
AMOUNT = r"(?! ?(?:usd|eth|bnb|dollars?|tokens?|[kmb]\b|%|million))(?![\d.,]*\d)"
RULES = [
    re.compile(rf"(?<![\w$.#-]){rule}(?!\w)")
    for rule in (
        rf"(?P<iso>{YEAR}-\d\d-\d\d)",
        rf"{DAY} (?:of )?{MONTH},? {YEAR}",
        rf"{MONTH} {DAY},? {YEAR}",
        rf"{MONTH},? (?:of )?{YEAR}",
        rf"{YEAR}-(?P<number>0[1-9]|1[0-2])(?!-)",
        rf"{SEASON},? (?:of )?{YEAR}",
        rf"{DIVISION} ?(?:of )?[/-]?{YEAR}",
        rf"{YEAR} ?[/-]?{DIVISION}",
        rf"(?P<nth>{'|'.join(ORDER)}) quarter (?:of )?{YEAR}",
        rf"(?P<feast>xmas|christmas|new year) {YEAR}",
        rf"(?P<which>last|past|previous|this) (?:{SEASON}|{MONTH}|(?P<unit>week|month|quarter|year))",
        r"(?P<today>today|yesterday)",
        rf"(?<!eip )(?<!erc ){YEAR}{AMOUNT}",
    )
]
PART = re.compile(r"(early|mid(?:dle)?|late|beginning|start|end|first half|second half|first week|last week)"
                  r"(?:[ -]of)?(?: the)?[ -]$")  # fmt: skip
RELATION = re.compile(
    rf"(?:(?:{COUNT} )?{UNIT} )?(?P<word>before|prior to|until|till|up to|by|after|following|later than|since"
    r"|starting|around|about|near|circa|close to)(?: the)? ?$"
)
AGO = re.compile(rf"(?<!\w){COUNT} {UNIT} ago(?!\w)")
LAST = re.compile(rf"(?<!\w)(?:last|past|previous) {COUNT} {UNIT}(?!\w)")


class Period(NamedTuple):
    """First and last day, both of them in it."""

    first: date
    last: date

    def within(self, days: int) -> "Period":
        """So many days more at both ends."""
        return Period(self.first - timedelta(days), self.last + timedelta(days))


class Dated(NamedTuple):
    """What a question says of time. `near`: not only within the period, but the closer to it the better."""

    period: Period
    near: bool = False


class Place(NamedTuple):
    """Where in a text a period stands, and whether it is only one by its words, such as `the merge`."""

    start: int
    end: int
    period: Period
    by_name: bool = False


def dated(question: str, day: date) -> Dated | None:
    """When, by the question as it is asked on a day; None where it says nothing, or no date that exists.

    >>> [f"{d}" for d in dated("hacks at the end of last year", date(2024, 2, 10)).period]
    ['2023-12-01', '2023-12-31']
    >>> dated("around 10 March 2023", date(2024, 2, 10)).near, dated("eip 2015 and 2000 eth", date(2024, 2, 10))
    (True, None)
    """
    text = _with_years(" ".join(question[:LOOKED_AT].lower().replace("mid-", "mid ").split()))
    try:
        if relative := _relative(text, day):
            return relative
        places = sorted([*_places(text, day), *_landmarks(text)])
        return (_between(text, places) or _related(text, places[0])) if places else None
    except OverflowError:  # beyond the calendar
        return None


def _with_years(text: str) -> str:
    """`jan to aug 2025` with both years, and `3 to 9 march 2023` with both months."""
    text = re.sub(rf"(?<![\w.])(\d{{1,2}})( ?(?:to|and|-|–|until) ?\d{{1,2}} )({'|'.join(MONTHS)})", r"\1 \3\2\3", text)
    period = rf"(?:\d{{1,2}} )?(?:(?:{'|'.join(MONTHS)})[a-z]{{0,6}}|q[1-4])"
    pattern = rf"(?<!\w)({period})( ?(?:to|and|-|–|until|through) ?)({period},? )((?:19|20)\d\d)"
    return re.sub(pattern, r"\1 \4\2\3\4", text)


def _relative(text: str, day: date) -> Dated | None:
    if found := AGO.search(text):
        then = day - timedelta(_days(found))
        return Dated(Period(then, then), near=True)
    if found := LAST.search(text):
        return Dated(Period(day - timedelta(_days(found)), day))
    return None


def _days(found: re.Match[str]) -> int:
    count = found["count"] or "a"
    few = {"a": 1, "an": 1, "couple of": 2, "few": 3}
    number = NUMBERS.index(count) + 1 if count in NUMBERS else few.get(count) or int(count)
    return number * UNITS[found["unit"]]


def _places(text: str, day: date) -> Iterator[Place]:
    """Periods from left to right, the longest of those that overlap; parts of them where the words before say so."""
    found = sorted((m for rule in RULES for m in rule.finditer(text)), key=lambda m: (m.start(), -m.end()))
    end = 0
    for match in found:
        if match.start() < end:
            continue
        try:
            period = _period(match.groupdict(), day)
        except ValueError:  # the 31st of February
            continue
        end = match.end()
        part = PART.search(text[max(0, match.start() - 30) : match.start()])
        start = match.start() - len(part[0]) if part else match.start()
        yield Place(start, end, _part(part[1], period) if part else period)


def _landmarks(text: str) -> Iterator[Place]:
    for name, match in said("landmarks", text):
        then = date.fromisoformat(name)
        yield Place(match.start(), match.end(), Period(then, then), by_name=True)


def _period(words: Mapping[str, str | None], day: date) -> Period:
    """Raises ValueError where there is no such day."""
    if iso := words.get("iso"):
        return Period(*[date.fromisoformat(iso)] * 2)
    if words.get("today"):
        return Period(*[day - timedelta(words["today"] == "yesterday")] * 2)
    if which := words.get("which"):
        return _last(words, day, this=which == "this")
    year = int(words["year"] or 0)
    if feast := words.get("feast"):
        return Period(*[date(year, 1, 1) if feast == "new year" else date(year, 12, 25)] * 2)
    if words.get("day"):
        return Period(*[date(year, _month(words), int(words["day"] or 0))] * 2)
    if words.get("month") or words.get("number"):
        return _months(year, _month(words) - 1, 1)
    if season := words.get("season"):
        return _months(year, SEASONS[season], 3)
    if division := words.get("division"):
        length = 3 if division[0] == "q" else 6
        return _months(year, (int(division[1]) - 1) * length, length)
    if nth := words.get("nth"):
        return _months(year, 3 * min(ORDER.index(nth), 3), 3)
    return _months(year, 0, 12)


def _month(words: Mapping[str, str | None]) -> int:
    name = words.get("month")
    return MONTHS.index(name[:3]) + 1 if name else int(words["number"] or 0)


def _months(year: int, start: int, number: int) -> Period:
    """So many months, from `start` months after January. Raises ValueError for the ends of the calendar."""
    first, last = divmod(year * 12 + start, 12), divmod(year * 12 + start + number - 1, 12)
    return Period(date(first[0], first[1] + 1, 1), date(last[0], last[1] + 1, monthrange(last[0], last[1] + 1)[1]))


def _last(words: Mapping[str, str | None], day: date, *, this: bool) -> Period:
    """`last quarter`, `this year`, `last spring`, `last december`."""
    if words.get("unit") == "week":
        monday = day - timedelta(day.weekday() + (0 if this else 7))
        return Period(monday, monday + timedelta(6))
    if unit := words.get("unit"):
        length = {"month": 1, "quarter": 3, "year": 12}[unit]
        return _months(day.year, ((day.month - 1) // length - (not this)) * length, length)
    season = words.get("season")
    start, length = (SEASONS[season], 3) if season else (_month(words) - 1, 1)
    period = _months(day.year, start, length)
    return period if this or period.last < day else _months(day.year - 1, start, length)


def _part(part: str, period: Period) -> Period:
    """A half, a third where early, middle or late, a week; of a year in months, and its beginning and end one month."""
    first, last = period
    if (last - first).days > 300 and not part.endswith("week"):
        months = 6 if part.endswith("half") else 1 if part in ("beginning", "start", "end") else 4
        start = 0 if _is_first(part) else 4 if part.startswith("mid") else 12 - months
        return _months(first.year, start, months)
    days = (last - first).days + 1
    share = (
        7
        if part.endswith("week")
        else days // 2
        if part == "first half"
        else -(-days // 2)
        if part == "second half"
        else -(-days // 3)
    )
    if part.startswith("mid"):
        return Period(first + timedelta((days - share) // 2), last - timedelta((days - share) // 2))
    if _is_first(part):
        return Period(first, first + timedelta(share - 1))
    return Period(last - timedelta(share - 1), last)


def _is_first(part: str) -> bool:
    return part.startswith(("first", "early", "beginning", "start"))


def _between(text: str, places: list[Place]) -> Dated | None:
    """From the first to the second of two periods, where the words before and between them say so."""
    if len(places) < 2:
        return None
    first, second = places[:2]
    joined = text[first.end : second.start].strip(" ,")
    opened = re.search(r"(?:between|from)(?: the)? ?$", text[: first.start])
    joins = re.fullmatch(r"(?:to|until|till|through|and|-|–)(?: the)?", joined)
    if joins and (opened or not joined.startswith("and")) and first.period.first <= second.period.last:
        return Dated(Period(first.period.first, second.period.last))
    return None


def _related(text: str, place: Place) -> Dated | None:
    """The period by the words before it; one that only has a name counts where these say that it is meant as a date."""
    first, last = place.period
    found = RELATION.search(text[max(0, place.start - 40) : place.start])
    if found is None:
        return None if place.by_name else Dated(place.period)
    word, one = found["word"], timedelta(1)
    if found["unit"] and word in ("after", "following"):
        return Dated(Period(last + one, last + timedelta(_days(found))))
    if found["unit"] and word in ("before", "prior to"):
        return Dated(Period(first - timedelta(_days(found)), first - one))
    if word in ("around", "about", "near", "circa", "close to"):
        return Dated(place.period, near=True)
    if word in ("before", "prior to"):
        return Dated(Period(EVER, first - one))
    if word in ("until", "till", "up to", "by"):
        return Dated(Period(EVER, last))
    return Dated(Period(first if word in ("since", "starting") else last + one, NEVER))

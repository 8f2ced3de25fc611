"""Dates in words, by rule: days, months, quarters, seasons and years, parts of them, and what is around, before, after
or between.

Seasons are the northern ones in whole months, and a winter has the name of the year in which it ends.

The rules are our own: of kept libraries edtf 5.0 and dateparser 1.5 read `q3 2021` as March and as August and take
`2000 eth` for a year, and timefhuman 0.1.5 and datefinder 1.0 read neither quarters nor seasons.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from typing import NamedTuple

from overfetch.rewritten import MONTH, MONTHS, rewritten
from overfetch.timespans import EVER, NEVER, Period

LOOKED_AT = 1_000  # characters of a question
DAY = timedelta(1)
# After how many months from January they begin, and how many they last.
QUARTERS = ("first quarter", "second quarter", "third quarter", "fourth quarter")
SEASONS = {"winter": (-1, 3), "spring": (2, 3), "summer": (5, 3), "autumn": (8, 3), "fall": (8, 3)}
DIVISIONS = {"q1": (0, 3), "q2": (3, 3), "q3": (6, 3), "q4": (9, 3), "h1": (0, 6), "h2": (6, 6)}
LAST = {f"{word} quarter": (9, 3) for word in ("last", "final")}
NAMED = {name: (3 * n, 3) for n, name in enumerate(QUARTERS)} | LAST | SEASONS | DIVISIONS
SPANS = {month: (n, 1) for n, month in enumerate(MONTHS)} | NAMED
UNITS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "year": 365}
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
COUNTS = {"a": 1, "an": 1, "couple of": 2, "few": 3} | {word: n for n, word in enumerate(NUMBERS, start=1)}
# From where to where a part of a period goes, in twelfths of a year and in sixths of what is shorter.
PARTS = {
    **{"early": ((0, 4), (0, 2)), "mid": ((4, 8), (2, 4)), "middle": ((4, 8), (2, 4)), "late": ((8, 12), (4, 6))},
    **{"beginning": ((0, 1), (0, 2)), "start": ((0, 1), (0, 2)), "end": ((11, 12), (4, 6))},
    **{"first half": ((0, 6), (0, 3)), "second half": ((6, 12), (3, 6))},
}

YEAR = r"(?P<year>(?:19|20)\d\d)"
DAY_OF = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
SPAN = rf"(?P<span>{MONTH}|{'|'.join(NAMED)})\.?"
UNIT = rf"(?P<unit>{'|'.join(UNITS)})(?P<many>s)?"
COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(COUNTS)})"
COINS = r"(?:w?(?:eth|bnb|btc)|[bt]?usd[tcs]?|dai|avax|w?matic|ftm)(?! (?:chain|smart|bridge|etfs?)\b)"
AMOUNT = rf"(?! ?(?:(?:{COINS}|dollars?|tokens?|[kmb]|million)\b|%))(?![\d.,]*\d)"
RULES = [
    re.compile(rf"(?<![\w$.#-]){rule}(?!\w)")
    for rule in (
        rf"(?P<iso>{YEAR}-\d\d-\d\d)",
        rf"{DAY_OF} (?:of )?(?P<month>{MONTH})\.?,? {YEAR}",
        rf"(?P<month>{MONTH})\.? {DAY_OF},? {YEAR}",
        rf"{SPAN}(?:,? (?:of )?| ?[/-]?){YEAR}",
        rf"{YEAR} ?[/-]?(?P<span>{'|'.join(DIVISIONS)})",
        rf"{YEAR}-(?P<number>0[1-9]|1[0-2])(?!-)",
        rf"(?P<which>last|past|previous|this) (?:{SPAN}|(?P<unit>week|weekend|month|quarter|year))(?! of\b)",
        rf"(?:last|past|previous) (?P<past>{COUNT} {UNIT})(?! of\b)",
        rf"(?P<ago>{COUNT} {UNIT} ago)",
        r"(?P<today>today|yesterday|ytd|year to date|so far this year)",
        rf"(?<!eip )(?<!erc ){YEAR}{AMOUNT}",
    )
]
# What is read where no year is said; `latest` may be of something else, and `apr` or `mar` be no month.
BARE = re.compile(
    rf"(?<!\w)(?:(?:in|since|during|from|until|before|after|between|(?:to|and|or)(?! may)) "
    rf"(?P<month>(?!(?:apr|dec|jan|jun|jul|mar)\b){MONTH})\.?(?! ?\d)"
    r"|(?P<latest>latest|newest|(?:most )?recent(?:ly)?)(?! (?:block|header|state|root|price|value|hash|deploy)))(?!\w)"
)
PART = re.compile(
    rf"(?<!\w)(?:(?P<part>{'|'.join(PARTS)})|(?P<edge>first|opening|last|final|closing) (?:{COUNT} )?{UNIT}"
    r"|(?P<whole>day|weekend|week|month|year))(?:[ -]of)?(?: the)?[ -]$"
)
SOON = 14  # days
RELATION = re.compile(
    rf"(?<![\w-])(?:(?:{COUNT} )?{UNIT} |(?P<soon>shortly|soon|right|just|immediately) )?(?P<word>before|prior to|pre"
    r"|until|till|up to|by|after|post|following|later than|in the (?:wake|aftermath) of|since|starting|around|about"
    r"|near|circa|close to|during|amid|at the time of)(?: the)?[ -]?$"
)
OPEN = re.compile(r",? (?:(?P<later>onwards?|(?:and|or) (?:later|after)|on$)|(?:and|or) (?:earlier|before))(?!\w)")


class Place(NamedTuple):
    """Where in a text a period stands, and whether it is only one by its words, such as `the merge`."""

    start: int
    end: int
    period: Period
    by_name: bool = False


Landmarks = Callable[[str], Mapping[str, re.Match[str]]]
"""Days, as `2022-09-15`, that a text names, and where."""


def period_in(question: str, day: date, landmarks: Landmarks = lambda text: {}) -> Period | None:
    """When, by the question as it is asked on a day; None where it says nothing, or no date that exists.

    >>> period_in("hacks at the end of last year", date(2024, 2, 10))
    Period(first=datetime.date(2023, 12, 1), last=datetime.date(2023, 12, 31), near=False)
    >>> period_in("around 10 March 2023", date(2024, 2, 10)).near, period_in("eip 2015, 2000 eth", date(2024, 2, 10))
    (True, None)
    """
    text = _with_years(rewritten(question[:LOOKED_AT]))
    try:
        places = sorted([*_places(text, day), *_named(text, landmarks(text), day)])
        places = places or list(_without_year(text, day))
        return (_between(text, places) or _related(text, places[0])) if places else None
    except OverflowError:  # beyond the calendar
        return None


def _with_years(text: str) -> str:
    """`jan-aug 2025` as `jan 2025 to aug 2025`, `dec to feb 2023` from the year before."""
    period = rf"(?:\d{{1,2}} )?(?:{MONTH}|q[1-4])"
    pattern = rf"(?<!\w)({period})( ?(?:to|and|or|-|–|until|through) ?)({period},? )((?:19|20)\d\d)"
    return re.sub(pattern, _both_years, text)


def _both_years(found: re.Match[str]) -> str:
    first, joined, second, year = found.groups()
    begins, ends = (_span(name.split()[-1])[0] for name in (first, second.replace(",", "")))
    joined = " to " if joined.strip() in ("-", "–") else joined
    return f"{first} {int(year) - (begins > ends)}{joined}{second}{year}"


def _named(text: str, landmarks: Mapping[str, re.Match[str]], day: date) -> Iterator[Place]:
    """Of what is still to come nobody knows the date. The year of one is a period by its words."""
    for then, match in ((date.fromisoformat(name), match) for name, match in landmarks.items()):
        if then <= day:
            part = PART.search(text, max(0, match.start() - 30), match.start())
            whole = part["whole"] if part else None
            start = part.start() if part and whole else match.start()
            yield Place(start, match.end(), _around(whole or "day", _one(then)), by_name=not whole)


def _places(text: str, day: date) -> Iterator[Place]:
    """Periods from left to right, the longest of those that overlap; parts of them where the words before say so."""
    end = 0
    for match in sorted((m for rule in RULES for m in rule.finditer(text)), key=lambda m: (m.start(), -m.end())):
        with suppress(ValueError):  # the 31st of February
            if match.start() >= end:
                period, end = _period(match, day), match.end()
                part = PART.search(text, max(0, match.start() - 30), match.start())
                yield Place((part or match).start(), end, _part(part, period) if part else period)


def _without_year(text: str, day: date) -> Iterator[Place]:
    """A month, the last of that name that has begun; or what is near the day and before it."""
    for found in sorted(BARE.finditer(text), key=lambda found: found["month"] is None):
        if found["month"]:
            start, length = _span(found["month"])
            yield Place(found.start("month"), found.end(), _months(day.year - (start >= day.month), start, length))
        else:
            yield Place(found.start(), found.end(), Period(EVER, day, near=True))


def _period(found: re.Match[str], day: date) -> Period:
    """Raises ValueError where there is no such day."""
    match {name: word for name, word in found.groupdict().items() if word}:
        case {"iso": iso}:
            return _one(date.fromisoformat(iso))
        case {"today": "today" | "yesterday" as word}:
            return _one(day - DAY if word == "yesterday" else day)
        case {"today": _}:
            return Period(date(day.year, 1, 1), day)
        case {"ago": _}:
            return _one(day - timedelta(_days(found)))._replace(near=True)
        case {"past": _}:
            return Period(day - timedelta(_days(found)), day)
        case {"which": which, "unit": unit}:
            return _last_unit(unit, day, back=which != "this")
        case {"which": which, "span": span}:
            periods = [_months(day.year + years, *_span(span)) for years in (-1, 0, 1)]
            if which == "this":  # from December on this winter is that of the next year
                return periods[2] if day >= periods[2].first else periods[1]
            return next(period for period in reversed(periods) if period.last < day)
        case {"year": year, "month": month, "day": of_month}:
            return _one(date(int(year), 1 + _span(month)[0], int(of_month)))
        case {"year": year, "number": number}:
            return _months(int(year), int(number) - 1, 1)
        case {"year": year, "span": span}:
            return _months(int(year), *_span(span))
        case _:
            return _months(int(found["year"]), 0, 12)


def _one(day: date) -> Period:
    return Period(day, day)


def _span(name: str) -> tuple[int, int]:
    return SPANS.get(name[:3]) or SPANS[name]


def _days(found: re.Match[str]) -> int:
    count = found["count"] or ("few" if found["many"] else "a")
    return (COUNTS.get(count) or int(count)) * UNITS[found["unit"]]


def _months(year: int, start: int, number: int) -> Period:
    """So many months, from `start` months after January. Raises ValueError for the ends of the calendar."""
    first, last = divmod(year * 12 + start, 12), divmod(year * 12 + start + number - 1, 12)
    return Period(date(first[0], first[1] + 1, 1), date(last[0], last[1] + 1, monthrange(last[0], last[1] + 1)[1]))


def _last_unit(unit: str, day: date, *, back: bool) -> Period:
    """`last quarter`, `this year`."""
    if unit in ("week", "weekend"):
        return _around(unit, _one(day - timedelta(7 * back)))
    length = {"month": 1, "quarter": 3, "year": 12}[unit]
    return _months(day.year, ((day.month - 1) // length - back) * length, length)


def _part(found: re.Match[str], period: Period) -> Period:
    """Of a year in whole months; a day has none, but it lies in a week."""
    first, last = period[:2]
    if found["whole"]:
        return _around(found["whole"], period)
    if found["edge"]:
        span = timedelta(_days(found) - 1)
        opening = found["edge"] in ("first", "opening")
        return Period(first, min(last, first + span)) if opening else Period(max(first, last - span), last)
    if first == last:
        return period
    of_year, of_less = PARTS[found["part"]]
    days = (last - first).days + 1
    if days > 300:
        return _months(first.year, of_year[0], of_year[1] - of_year[0])
    end = days // 2 if found["part"] == "first half" else -(-days * of_less[1] // 6)  # no day is in both halves
    return Period(first + timedelta(days * of_less[0] // 6), first + timedelta(end - 1))


def _around(unit: str, period: Period) -> Period:
    """The week, month or year in which a day lies; what is longer is that itself."""
    first, last = period[:2]
    if unit == "day" or first != last:
        return period
    monday = first - timedelta(first.weekday())
    match unit:
        case "weekend":
            return Period(monday + timedelta(5), monday + timedelta(6))
        case "week":
            return Period(monday, monday + timedelta(6))
        case "month":
            return _months(first.year, first.month - 1, 1)
        case _:
            return _months(first.year, 0, 12)


def _between(text: str, places: Sequence[Place]) -> Period | None:
    """From the first to the second of two periods, where the words before and between them say so."""
    if len(places) < 2:
        return None
    first, second = places[:2]
    joined = text[first.end : second.start].strip(" ,")
    opened = re.search(r"(?:between|from)(?: the)? ?$", text[: first.start])
    joins = re.fullmatch(r"(?:to|until|till|through|and|or|-|–)(?: the)?", joined)
    follows = second.period.first - first.period.last == DAY
    if joins and (opened or follows or joined[:2] not in ("an", "or")) and first.period.first <= second.period.last:
        return Period(first.period.first, second.period.last)
    return None


def _related(text: str, place: Place) -> Period | None:
    """The period by the words before it; one that only has a name counts where these say that it is meant as a date."""
    period = place.period
    found = RELATION.search(text, max(0, place.start - 40), place.start)
    if found is None:
        open_end = OPEN.match(text, place.end)
        if open_end:
            return Period(period.first, NEVER) if open_end["later"] else Period(EVER, period.last)
        return None if place.by_name else period
    if period.near and period.first == EVER:  # after or before the latest of something: that day is not known
        return None
    days = timedelta(_days(found)) if found["unit"] else timedelta(SOON) if found["soon"] else None
    match found["word"]:
        case "around" | "about" | "near" | "circa" | "close to":
            return period._replace(near=True)
        case "during" | "amid" | "at the time of":
            return period._replace(near=place.by_name)
        case "before" | "prior to" | "pre":
            return Period(period.first - days if days else EVER, period.first - DAY)
        case "until" | "till" | "up to" | "by":
            return Period(EVER, period.last)
        case "since" | "starting":
            return Period(period.first, NEVER)
        case "in the wake of" | "in the aftermath of":
            return Period(period.first, period.last + timedelta(2 * SOON))
        case _:
            return Period(period.last + DAY, period.last + days if days else NEVER)

"""Dates that are written in short, in the form that `periods` reads."""

import re
from collections.abc import Callable

from overfetch.feasts import FEASTS, days_of

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = rf"(?:{'|'.join(MONTHS)})(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?"
YEAR = r"(?:19|20)\d\d"
TO = r" ?(?:to|and|-|–|until|till|through) ?"
NTH = r"(\d{1,2})(?:st|nd|rd|th)?"
FEAST = re.compile(rf"(?<!\w)({'|'.join(FEASTS)})(?:'?s)?(?: day| weekend|( week))?(?: of| in)? ({YEAR})(?!\d)")
# The year in short, where it does not count something.
TEENS_ON = (
    r"(1[5-9]|2\d)(?= ?(?:$|[,;:?!)]|(?:and|attacks?|earnings|events?|exploits?|hacks?|incidents?|or|results|to)\b))"
)

Rewriting = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
REWRITINGS: list[Rewriting] = [
    (re.compile(pattern), written)
    for pattern, written in (
        (r"’", "'"),
        (r"(?<!\w)mid-", "mid "),
        (r"(?<=[a-z\d]) ?'(\d\d)(?![\d'])", r" 20\1"),  # nov '22
        (r"(?<!\w)([1-4])([qh])[ -]?(?:20)?(\d\d)(?!\d)", r"\2\1 20\3"),
        (r"(?<!\w)([qh][1-4])[ -]?(\d\d)(?![\d%])", r"\1 20\2"),
        (r"(?<!\w)(winter)(?: of)? \d{4} ?[/–-] ?(?:20)?(\d\d)(?!\d)", r"\1 20\2"),
        (r"(?<!\w)(?:the )?(?:run|lead)[ -]?up to(?!\w)", "30 days before"),
        (r"(?<!\w)(?:the )?(?:mon|tues|wednes|thurs|fri|satur|sun)day (after|before)(?!\w)", r"a week \1"),
        (r"(?<!\w)past (?=(?:week|month|quarter|year)(?! of)(?!\w))", "past one "),  # it ends today
        (rf"(?<!\w){NTH} (?:of )?({MONTH})\.?,? {TEENS_ON}", r"\1 \2 20\3"),
        (rf"(?<!\w)(spring|summer|autumn|fall|winter)(?: of)? {TEENS_ON}", r"\1 20\2"),
        (rf"(?<![\w/.-])({YEAR})/(\d{{1,2}})/(\d{{1,2}})(?![\w/])", lambda m: f"{m[1]}-{m[2]:0>2}-{m[3]:0>2}"),
        (r"(?<![\w$.,-])(20[012]\d)(0[1-9]|1[0-2])([0-2]\d|3[01])(?![\w.,])", r"\1-\2-\3"),
        (rf"(?<![\w/.-])(\d{{1,2}})([/-])(\d{{1,2}})\2({YEAR})(?!\d)", lambda m: _day_or_year(m[4], m[1], m[3])),
        (rf"(?<![\w-])({YEAR})[-–](1[3-9]|[2-9]\d)(?![\w/-])", r"\1 to 20\2"),
        (rf"(?<![\w-])({YEAR}) ?/ ?(?:20)?(\d\d)(?![\w/-])", lambda m: _year_or_month(m[1], m[2])),
        (rf"(?<![\w-])({YEAR}) ?[-–] ?({YEAR})(?![\w-])", r"\1 to \2"),
        (rf"(?<![\w/.])(\d{{1,2}})\.(\d{{1,2}})\.({YEAR})(?!\d)", lambda m: f"{m[3]}-{m[2]:0>2}-{m[1]:0>2}"),
        (rf"(?<![\w/.])(\d{{1,2}})/({YEAR})(?!\d)", lambda m: f"{m[2]}-{m[1]:0>2}"),
        (r"(?<!\w)(?:a )?fortnight", "14 days"),
        (r"(?<!\w)(24|48|72) ?h(?:ou)?rs?(?!\w)", lambda m: f"{int(m[1]) // 24} days"),
        (rf"(?<!\w)({MONTH})\.? {NTH}{TO}{NTH},? ({YEAR})", r"\1 \2 \4 to \1 \3 \4"),
        (rf"(?<![\w.]){NTH}({TO}){NTH} (?:of )?({MONTH})", r"\1 \4\2\3 \4"),
    )
]


def rewritten(text: str) -> str:
    """The text in small letters, with single spaces and dates in full.

    >>> rewritten("hacks of nov '22"), rewritten("Jan 7th-14th 2025"), rewritten("1Q24"), rewritten("winter 2023/24")
    ('hacks of nov 2022', 'jan 7 2025 to jan 14 2025', 'q1 2024', 'winter 2024')
    >>> rewritten("over Easter 2024"), rewritten("on Christmas Eve 2023")
    ('over 2024-03-29 to 2024-04-01', 'on 2023-12-24')
    >>> rewritten("29/05/2023"), rewritten("5/29/2023"), rewritten("5/6/2023"), rewritten("Christmas week 2021")
    ('2023-05-29', '2023-05-29', '2023', 'week of 2021-12-25')
    """
    text = " ".join(text.lower().split())
    for pattern, written in REWRITINGS:
        text = pattern.sub(written, text)
    return FEAST.sub(_feast, text)


def _feast(found: re.Match[str]) -> str:
    first, last = map(str, days_of(found[1], int(found[3])))
    return f"week of {first}" if found[2] else first if first == last else f"{first} to {last}"


def _day_or_year(year: str, *numbers: str) -> str:
    """Which of two numbers is the month is clear where the other can be none; else only the year is."""
    month, day = sorted(numbers, key=int)
    return f"{year}-{month:0>2}-{day:0>2}" if int(day) > 12 or int(day) == int(month) else year


def _year_or_month(year: str, number: str) -> str:
    """`2023/24` are two years, `2023/11` is a month."""
    return f"{year} to 20{number}" if int(number) == int(year[2:]) + 1 else f"{year}-{number}"

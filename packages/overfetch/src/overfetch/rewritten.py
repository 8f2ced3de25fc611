"""Dates that are written in short, in the form that `periods` reads."""

import re
from collections.abc import Callable

from overfetch.feasts import FEASTS, days_of

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH = rf"(?:{'|'.join(MONTHS)})(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?"
YEAR = r"(?:19|20)\d\d"
TO = r" ?(?:to|and|-|–|until|till|through) ?"
NTH = r"(\d{1,2})(?:st|nd|rd|th)?"
FEAST = re.compile(rf"(?<!\w)({'|'.join(FEASTS)})(?:'?s)?(?: day| weekend)?(?: of| in)? ({YEAR})(?!\d)")

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
    """
    text = " ".join(text.lower().split())
    for pattern, written in REWRITINGS:
        text = pattern.sub(written, text)
    return FEAST.sub(lambda found: " to ".join(sorted({*map(str, days_of(found[1], int(found[2])))})), text)


def _year_or_month(year: str, number: str) -> str:
    """`2023/24` are two years, `2023/11` is a month."""
    return f"{year} to 20{number}" if int(number) == int(year[2:]) + 1 else f"{year}-{number}"

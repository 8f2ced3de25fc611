"""Days that have a name in every year."""

import re
from datetime import date, timedelta

FIXED = {
    "christmas eve": (12, 24),
    "boxing day": (12, 26),
    "(?:christmas|xmas)": (12, 25),
    "new year'?s eve": (12, 31),
    "new year": (1, 1),
    "halloween": (10, 31),
    "valentine'?s": (2, 14),
    "(?:st|saint)\\.? patrick'?s": (3, 17),
}
MOVING = ("easter", "thanksgiving", "black friday")
FEASTS = (*FIXED, *MOVING)  # patterns of small letters, the longer first


def days_of(feast: str, year: int) -> tuple[date, date]:
    """First and last day of what one of FEASTS found. Easter is from Good Friday to Easter Monday.

    >>> [str(day) for day in days_of("easter", 2024)], str(days_of("black friday", 2023)[0])
    (['2024-03-29', '2024-04-01'], '2023-11-24')
    """
    if feast == "easter":
        sunday = easter_sunday(year)
        return sunday - timedelta(2), sunday + timedelta(1)
    if feast in MOVING:
        day = date(year, 11, 22) + timedelta((3 - date(year, 11, 22).weekday()) % 7 + (feast == "black friday"))
    else:
        day = date(year, *next(day for name, day in FIXED.items() if re.fullmatch(name, feast)))
    return day, day


def easter_sunday(year: int) -> date:
    """The Gregorian one (Butcher's algorithm)."""
    golden, century, of_century = year % 19, year // 100, year % 100
    epact = (19 * golden + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    to_sunday = (32 + 2 * (century % 4) + 2 * (of_century // 4) - epact - of_century % 4) % 7
    month, day = divmod(epact + to_sunday - 7 * ((golden + 11 * epact + 22 * to_sunday) // 451) + 114, 31)
    return date(year, month, day + 1)

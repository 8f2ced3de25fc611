"""Amounts in texts and in questions: figures or words, a factor, and a unit."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

FACTORS = {"k": 1e3, "t": 1e3, "h": 1e5, "m": 1e6, "b": 1e9}  # by their first letter
COUNTS = {"half a": 0.5, "half an": 0.5, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10}
NUMBER = r"(?P<number>\d[\d,]*(?:\.\d+)?|\.\d+|(?<!\w)(?:half an?|an?|one|two|three|five|ten)(?!\w))"
FACTOR = r"(?P<factor>hundred thousand|thousand|million|billion|mln|mil|mn|bn|[kmb])(?![a-z])"
AMOUNT = rf"(?P<dollar>\$)?[~\s]?{NUMBER}\s?(?:{FACTOR})?\s?\$?(?P<unit>[a-z]\w{{1,9}})?"
OVER = r"over|above|more than|at least|bigger than|larger than|greater than|exceeding|upwards of|>"
UNDER = r"under|below|less than|at most|smaller than|up to|<"
SAID = re.compile(AMOUNT)
LIMIT = re.compile(rf"(?<!\w)(?:(?P<above>{OVER})|(?P<below>{UNDER}))\s{{0,2}}{AMOUNT}(?!\w)")


class Amount(NamedTuple):
    """`number` without its `factor`, which is 1 where none is said; `unit` is empty where none is."""

    number: float
    factor: float
    unit: str
    dollar: bool
    side: Literal["above", "below"] | None = None


def amounts_in(text: str) -> Iterator[Amount]:
    """All of a text in small letters.

    >>> [(amount.number, amount.factor, amount.unit) for amount in amounts_in("153,037 eth (~$30m)")]
    [(153037.0, 1.0, 'eth'), (30.0, 1000000.0, '')]
    """
    return map(_amount, SAID.finditer(text))


def limits_in(text: str) -> Iterator[Amount]:
    """Those that a question in small letters bounds something by.

    >>> [(limit.side, limit.number * limit.factor) for limit in limits_in("more than half a million but under 2 bn")]
    [('above', 500000.0), ('below', 2000000000.0)]
    """
    return (_amount(found, "above" if found["above"] else "below") for found in LIMIT.finditer(text))


def _amount(found: re.Match[str], side: Literal["above", "below"] | None = None) -> Amount:
    number = COUNTS.get(found["number"]) or float(found["number"].replace(",", ""))
    factor = FACTORS[found["factor"][0]] if found["factor"] else 1.0
    return Amount(number, factor, found["unit"] or "", bool(found["dollar"]), side)

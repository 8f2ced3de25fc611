"""Amounts in texts and in questions: figures or words, a factor, and a unit."""

import re
from collections.abc import Iterator
from itertools import chain
from typing import Literal, NamedTuple

Side = Literal["above", "below", "at_least", "at_most"]

FACTORS = {"k": 1e3, "t": 1e3, "m": 1e6, "b": 1e9, "hundred t": 1e5, "hundred m": 1e8}  # by how they begin
WORDS = {w: n for n, w in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1)}
TENS = {word: 10 * n for n, word in enumerate(("twenty", "thirty", "forty", "fifty"), 2)}
PARTS = {"half a": 0.5, "half an": 0.5, "a quarter of a": 0.25, "a": 1, "an": 1, "a couple of": 2, "a few": 3}
COUNTS = {**WORDS, **TENS, **PARTS}
NUMBER = rf"(?P<number>\d[\d,]*(?:\.\d+)?|\.\d+|(?<!\w)(?:{'|'.join(sorted(COUNTS, reverse=True))})(?!\w))"
FACTOR = r"(?P<factor>(?:hundred )?(?:thousand|million)|billion|mln|mil|mn|bn|[kmb])(?![a-z])"
AMOUNT = rf"(?P<dollar>\$)?[~\s]?{NUMBER}[\s-]?(?:{FACTOR})?\s?\$?(?P<unit>[a-z]\w{{1,9}})?"
SECOND = AMOUNT.replace("?P<", "?P<second_")
BEFORE: dict[Side, str] = {
    "at_least": r"at least|(?:no|not) (?:less|smaller|lower) than|(?:a )?minimum(?: of)?|>=|≥",
    "at_most": r"at most|up to|(?:no|not) (?:more|bigger|larger|higher) than|(?:a )?max(?:imum)?(?: of)?|<=|≤",
    "above": r"over|above|beyond|(?:more|bigger|larger|greater) than|exceeding|in excess of|upwards of|north of|>",
    "below": r"under|below|(?:less|smaller|lower|fewer) than|south of|sub[ -]?|<",
}
AFTER: dict[Side, str] = {
    "at_least": r"\+|plus|(?:and|or) (?:more|up|above|over|higher|bigger|larger|upwards?)|upwards?",
    "at_most": r"(?:and|or) (?:less|below|under|lower|smaller|fewer)|at most|tops",
}


def _any_of(words: dict[Side, str]) -> str:
    return "|".join(f"(?P<{side}>{said})" for side, said in words.items())


SAID = re.compile(AMOUNT)
LIMITS = (
    re.compile(rf"(?<!\w)(?:{_any_of(BEFORE)})\s{{0,2}}{AMOUNT}(?!\w)"),
    re.compile(rf"(?<![\w.,]){AMOUNT}\s?(?:{_any_of(AFTER)})(?!\w)"),
)
RANGES = (
    re.compile(rf"(?<!\w)(?:between|from)\s{AMOUNT}\s?(?:and|to|-|–)\s?{SECOND}(?!\w)"),
    re.compile(
        rf"(?<![\w.,-]){AMOUNT}\s?(?:to|-|–)\s?(?=\$?[\d.,]+\s?{FACTOR.replace('P<factor>', ':')}){SECOND}(?!\w)"
    ),
)
# `six figures`, `tens of thousands`, or more.
FIGURES = re.compile(
    rf"(?<!\w)(?:(?P<digits>{'|'.join(WORDS)})[\s-]figures?|(?P<many>ten|hundred)s of (?P<of>[mb]illion|thousand)s)"
    rf"(?P<more>\s(?:{AFTER['at_least']}))?(?!\w)"
)
YEAR = re.compile(r"(?:19|20)\d\d")


class Amount(NamedTuple):
    """`number` without its `factor`, which is 1 where none is said; `unit` is empty where none is."""

    number: float
    factor: float
    unit: str
    dollar: bool
    side: Side | None = None

    @property
    def whole(self) -> float:
        """The number times what it is said in: thousands, millions."""
        return self.number * self.factor


def amounts_in(text: str) -> Iterator[Amount]:
    """All of a text in small letters.

    >>> [(amount.whole, amount.unit) for amount in amounts_in("153,037 eth (~$30m)")]
    [(153037.0, 'eth'), (30000000.0, '')]
    """
    return map(_amount, SAID.finditer(text))


def limits_in(text: str) -> Iterator[Amount]:
    """Those that a question in small letters bounds something by; of a range both. Years are none.

    A number below 1000 that has no factor of its own has that of the last one.

    >>> [(limit.side, limit.whole) for limit in limits_in("more than half a million but under 2 bn")]
    [('above', 500000.0), ('below', 2000000000.0)]
    >>> [(limit.side, limit.whole) for limit in limits_in("from one to two million")]
    [('at_least', 1000000.0), ('at_most', 2000000.0)]
    >>> [(limit.side, limit.whole) for limit in limits_in("50k and up, or six figures")]
    [('at_least', 50000.0), ('at_least', 100000.0), ('below', 1000000.0)]
    """
    found = [*_ranges(text), *_limits(text), *_figures(text)]
    last = next((limit.factor for limit in reversed(found) if limit.factor > 1), 1.0)
    return (one._replace(factor=last) if one.factor == 1 and one.number < 1000 else one for one in found)


def _ranges(text: str) -> Iterator[Amount]:
    for found in chain.from_iterable(ranges.finditer(text) for ranges in RANGES):
        if not _is_year(found):
            yield _amount(found, "at_least")
            yield _amount(found, "at_most", "second_")


def _limits(text: str) -> Iterator[Amount]:
    for found in chain.from_iterable(limits.finditer(text) for limits in LIMITS):
        if not (_is_year(found) or (found["unit"] or "").startswith("figure")):
            yield _amount(found, next(side for side in BEFORE if found.groupdict().get(side)))


def _figures(text: str) -> Iterator[Amount]:
    for found in FIGURES.finditer(text):
        times = FACTORS[found["of"][0]] if found["of"] else 10.0 ** (WORDS[found["digits"]] - 1)
        least = times * {"ten": 10, "hundred": 100}.get(found["many"], 1)
        yield Amount(least, 1.0, "", False, "at_least")
        if not found["more"]:
            yield Amount(10 * least, 1.0, "", False, "below")


def _is_year(found: re.Match[str]) -> bool:
    return bool(YEAR.fullmatch(found["number"])) and not (found["factor"] or found["unit"] or found["dollar"])


def _amount(found: re.Match[str], side: Side | None = None, which: str = "") -> Amount:
    number, factor = found[f"{which}number"], found[f"{which}factor"] or ""
    times = next((times for begins, times in FACTORS.items() if factor.startswith(begins)), 1.0)
    value = COUNTS.get(number) or float(number.replace(",", ""))
    return Amount(value, times, found[f"{which}unit"] or "", bool(found[f"{which}dollar"]), side)

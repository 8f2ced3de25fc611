"""Losses: what a report says was lost, and the bounds that a question sets."""

import re
from collections.abc import Iterator

from overfetch import AnyOf, NumberRange
from paiddaily.names import KNOWN

LOOKED_AT = 2_000  # characters of a report
FACTORS = {"k": 1e3, "t": 1e3, "h": 1e5, "m": 1e6, "b": 1e9}  # by their first letter
COUNTS = {"half a": 0.5, "half an": 0.5, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10}
NUMBER = r"(?P<number>\d[\d,]*(?:\.\d+)?|\.\d+|(?<!\w)(?:half an?|an?|one|two|three|five|ten)(?!\w))"
FACTOR = r"(?P<factor>hundred thousand|thousand|million|billion|mln|mil|mn|bn|[kmb])(?![a-z])"
AMOUNT = rf"(?P<dollar>\$)?[~\s]?{NUMBER}\s?(?:{FACTOR})?\s?\$?(?P<unit>[a-z]\w{{1,9}})?"
OVER = r"(?P<over>over|above|more than|at least|bigger than|larger than|greater than|exceeding|upwards of|>)"
UNDER = r"under|below|less than|at most|smaller than|up to|<"
REPORTED, LIMIT = re.compile(AMOUNT), re.compile(rf"(?<!\w)(?:{OVER}|{UNDER})\s{{0,2}}{AMOUNT}(?!\w)")


def loss_of(text: str) -> tuple[float, list[str]] | None:
    """An amount and what it is of; dollars where nothing is said, and where they are given beside it.

    >>> loss_of("153,037 ETH (~$30M)"), loss_of("~17 WBNB"), loss_of("1,4M BUSD"), loss_of("Unclear")
    ((30000000.0, ['usd']), (17.0, ['bnb']), (1400000.0, ['usd', 'busd']), None)
    """
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text.lower()[:LOOKED_AT])
    found = [(_number(match, match["factor"]), _units(match)) for match in REPORTED.finditer(text)]
    if found and re.search(r"\btokens?\b", text):
        return found[0][0], ["tokens"]
    return next((loss for loss in found if loss[1][0] == "usd"), found[0] if found else None)


def _number(match: re.Match[str], factor: str | None) -> float:
    number = COUNTS.get(match["number"]) or float(match["number"].replace(",", ""))
    return number * (FACTORS[factor[0]] if factor else 1.0)


def _units(match: re.Match[str]) -> list[str]:
    unit = (match["unit"] or "usd").removeprefix("w")
    if not (match["dollar"] or unit in KNOWN.words("names.dollars")):
        return [unit]
    return ["usd", "busd"] if unit == "busd" else ["usd"]


def loss_bounds(text: str, *, incident: bool) -> list[AnyOf | NumberRange]:
    """In dollars unless a coin is named: a number alone is no loss, nor are coins of no incident."""
    if KNOWN.said("unknown", text):
        return [AnyOf(field="loss_unit", values=("unknown",))]
    limits = list(_limits(text))
    unit = next((unit for _, unit in limits if unit), "usd")
    if not limits or not (incident or unit in ("usd", "busd") or "damage" in KNOWN.said("signs", text)):
        return []
    return [AnyOf(field="loss_unit", values=(unit,)), *(bound for bound, _ in limits[:2])]


def _limits(text: str) -> Iterator[tuple[NumberRange, str]]:
    """Each with its coin, where one is named; `more than 50 but below 100 mln` has one factor for both."""
    found, coins = list(LIMIT.finditer(text)), KNOWN.words("names.coins")
    last = next((match["factor"] for match in reversed(found) if match["factor"]), None)
    money = last or any(m["unit"] in {*coins, "usd", "dollars"} or _number(m, None) >= 1000 for m in found)
    for match in found if money else ():
        amount = _number(match, match["factor"] or (last if _number(match, None) < 1000 else None))
        bound = NumberRange(field="loss_amount", **{"above" if match["over"] else "below": amount})
        yield bound, match["unit"].removeprefix("w") if match["unit"] in coins else ""
    for amount in map(float, KNOWN.said("figures", text)):
        yield NumberRange(field="loss_amount", above=amount), "busd" if "busd" in text else ""

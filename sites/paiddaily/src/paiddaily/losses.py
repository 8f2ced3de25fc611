"""Losses: what a report says was lost, and the bounds that a question sets."""

import re
from collections.abc import Iterator

from overfetch import Amount, AnyOf, NumberRange, amounts_in, limits_in
from paiddaily.names import KNOWN

LOOKED_AT = 2_000  # characters of a report


def loss_of(text: str) -> tuple[float, list[str]] | None:
    """An amount and what it is of; dollars where nothing is said, and where they are given beside it.

    >>> loss_of("153,037 ETH (~$30M)"), loss_of("~17 WBNB"), loss_of("1,4M BUSD"), loss_of("Unclear")
    ((30000000.0, ['usd']), (17.0, ['bnb']), (1400000.0, ['usd', 'busd']), None)
    """
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text.lower()[:LOOKED_AT])
    found = [(amount.number * amount.factor, _units(amount)) for amount in amounts_in(text)]
    if found and re.search(r"\btokens?\b", text):
        return found[0][0], ["tokens"]
    return next((loss for loss in found if loss[1][0] == "usd"), found[0] if found else None)


def _units(amount: Amount) -> list[str]:
    unit = (amount.unit or "usd").removeprefix("w")
    if not (amount.dollar or unit in KNOWN.words("names.dollars")):
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
    found, coins = list(limits_in(text)), KNOWN.words("names.coins")
    last = next((limit.factor for limit in reversed(found) if limit.factor > 1), 1.0)
    money = last > 1 or any(limit.unit in {*coins, "usd", "dollars"} or limit.number >= 1000 for limit in found)
    for limit in found if money else ():
        amount = limit.number * (last if limit.factor == 1 and limit.number < 1000 else limit.factor)
        bound = NumberRange(field="loss_amount", **{limit.side or "above": amount})
        yield bound, limit.unit.removeprefix("w") if limit.unit in coins else ""
    for amount in map(float, KNOWN.said("figures", text)):
        yield NumberRange(field="loss_amount", above=amount), "busd" if "busd" in text else ""

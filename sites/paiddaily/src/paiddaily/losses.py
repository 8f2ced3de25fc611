"""Losses: what a report says was lost, and the bounds that a question sets."""

import re
from collections.abc import Iterator

from overfetch import Amount, AnyOf, NumberRange, amounts_in, limits_in
from paiddaily.names import KNOWN

LOOKED_AT, LEAST = 2_000, 1_000  # characters of a report; what is an amount without a unit


def loss_of(text: str) -> tuple[float, list[str]] | None:
    """An amount and what it is of; dollars where nothing is said, and where they are given beside it.

    >>> loss_of("153,037 ETH (~$30M)"), loss_of("~17 WBNB"), loss_of("1,4M BUSD"), loss_of("Unclear")
    ((30000000.0, ['usd']), (17.0, ['bnb']), (1400000.0, ['usd', 'busd']), None)
    """
    text = re.sub(KNOWN.table("names.no_loss"), " ", text.lower()[:LOOKED_AT])
    text = re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", text)
    found, tokens = list(amounts_in(text)), ["tokens"] if re.search(r"\btokens?\b", text) else []
    given = (one for one in found if one.dollar or one.unit or (one.factor > 1 and not tokens))
    dollars = sorted((a for a in given if "usd" in _units(a)), key=lambda a: a.unit in KNOWN.words("names.stable"))
    return next(((one.whole, _units(one) if dollars else tokens or _units(one)) for one in dollars or found), None)


def _units(amount: Amount) -> list[str]:
    """A coin's name counts, also behind a dollar sign."""
    unit, dollars = (amount.unit or "usd").removeprefix("w"), KNOWN.words("names.dollars")
    is_dollar = unit in dollars or (amount.dollar and unit not in KNOWN.words("names.coins"))
    return ["usd", "busd"] if unit == "busd" else ["usd"] if is_dollar else [unit]


def loss_bounds(text: str, *, incident: bool) -> list[AnyOf | NumberRange]:
    """In dollars unless a coin is named: a number alone is no loss, nor are coins of no incident."""
    if KNOWN.said("unknown", text):
        return [AnyOf(field="loss_unit", values=("unknown",))]
    limits, coins, dollars = list(limits_in(text))[:2], KNOWN.words("names.coins"), KNOWN.words("names.dollars")
    unit = next((limit.unit for limit in limits if limit.unit in coins), "busd" if "busd" in text else "usd")
    is_money = any((one.dollar and incident) or one.unit in {unit, *dollars} or one.whole >= LEAST for one in limits)
    if not (is_money and (incident or unit in ("usd", "busd") or "damage" in KNOWN.said("signs", text))):
        return []
    bounds = (NumberRange(field="loss_amount", **{limit.side or "above": limit.whole}) for limit in limits)
    return [AnyOf(field="loss_unit", values=(unit.removeprefix("w"),)), *bounds]


def loss_sizes(text: str) -> Iterator[NumberRange]:
    """What an incident that is said to be large or small lost, the more so the earlier; about the amount that is said.

    >>> [(size.at_least, size.at_most) for size in loss_sizes("the 130 million one")]
    [(117000000.0, 143000000.0)]
    """
    for size in map(float, KNOWN.said("extent", text)):
        yield NumberRange(field="loss_amount", **({"at_least": size} if size > 0 else {"below": -size}))
    for said in amounts_in(text):
        if said.factor > 1 and said.whole >= 10 * LEAST:
            yield NumberRange(field="loss_amount", at_least=0.9 * said.whole, at_most=1.1 * said.whole)

"""How questions about events are read: who, when, how much, by which means, and how the market stood."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time
from itertools import product
from typing import NamedTuple

from overfetch import AnyOf, DateRange, Focus, NumberRange, Understood
from paiddaily.asking import LOOKED_AT, among_keys, bare_name, near_keys, run_keys
from paiddaily.dates import Dated, Period, dated
from paiddaily.names import words_of
from paiddaily.records import FACTORS
from paiddaily.vocabulary import said, vocabulary
from paiddaily.whom import named_in, proper

Bound = AnyOf | DateRange | NumberRange
# How far each leads.
NUMBER, WHO, ALL, CLOSE, MEANS, SCOPE = 9, 8, 7, 5, 3, 2
CLOSENESS = ((2, CLOSE + 1), (10, CLOSE), (30, CLOSE - 1))  # days around, and how far that leads

PROPOSAL = re.compile(r"(?<!\w)(eip|erc)s?[\s#-]{0,2}(\d{1,6})(?!\d)", re.IGNORECASE)
DOLLAR_SYMBOL = re.compile(r"(?<!\w)\$([A-Za-z]{2,6})(?!\w)")
ACTIVE = re.compile(r"(?<!\w)(?:went live|go(?:es)? live|activat\w+|shipped|on mainnet)(?!\w)")
NUMBER_WORD = r"(?:(half an?|an?|one|two|three|five|ten)|(\d[\d,]*(?:\.\d+)?))"
FACTOR = r"(hundred thousand|thousand|million|billion|mln|mn|bn|mil|[kmb])(?![a-z])"
AMOUNT = rf"[$~]?\s?{NUMBER_WORD}\s?(?:{FACTOR})?\s?(w?[a-z]{{2,7}})?(?!\w)"
OVER = r"over|above|more than|at least|bigger than|larger than|greater than|exceeding|upwards of|>"
UNDER = r"under|below|less than|at most|smaller than|up to|<"
LIMIT = re.compile(rf"(?<!\w)({OVER}|{UNDER})\s{{0,2}}{AMOUNT}")
CHAIN = re.compile(r"(?<!\w)(?:chains?|mainnet|blockchain)(?!\w)")
FIGURES = re.compile(r"(?<!\w)(four|five|six|seven|eight|nine)[ -]figures?(?:,? or (?:more|less))?")
COUNTS = {"half a": 0.5, "half an": 0.5, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10}
UNITS = ("eth", "weth", "bnb", "wbnb", "busd", "usdt", "usdc", "dai", "matic", "avax", "btc", "wbtc", "ftm")


class Limit(NamedTuple):
    """A bound of a loss."""

    over: bool
    amount: float
    unit: str


def understand_catalysts(question: str, day: date) -> Understood:
    """Dates in words bound the events or come closest first; names, numbers and losses are matched in fields.

    >>> understood = understand_catalysts("rug pulls over $100k, spring 2023", date(2026, 1, 1))
    >>> understood.notes
    ('2023-03-01 to 2023-05-31', 'security-incident', 'usd', 'above 100,000', 'rug-pull')
    >>> understand_catalysts("eip 9999", date(2026, 1, 1)).focuses[0].missing
    'no EIP-9999'
    """
    text = question.strip()
    looked_at = text[:LOOKED_AT]
    lower = looked_at.lower()
    when = dated(looked_at, day)
    kinds = list(_kinds(lower))
    chains = list(_chains(lower, kinds))
    bounds = [*_when(when, lower), *kinds, *_losses(lower, kinds), *_features(lower, ("statuses",))]
    means = [*_features(lower, ("techniques",))]
    focuses = [
        *_proposals(looked_at),
        *_who(looked_at, when),
        *_scoped(when, bounds, means, lower),
        *(Focus(conditions=(chain, *bounds), weight=2, missing=f"no event on {_told(chain)}") for chain in chains),
        *_shape(lower),
        *_formal(lower, bounds),
        *_happenings(lower),
    ]
    notes = tuple(_told(b) for b in [*bounds, *means, *chains])
    return Understood(text=text, focuses=tuple(focuses[:32]), named=tuple(_named(looked_at, when)), notes=notes)


def _named(text: str, when: Dated | None) -> Iterator[str]:
    """How events may write who, which proposal and when."""
    yield from (f"{kind}-{int(number)}" for kind, number in PROPOSAL.findall(text)[:4])
    yield from DOLLAR_SYMBOL.findall(text)[:3]
    if 0 < len(words := bare_name(text)) <= 4:
        yield " ".join(words)
    if when:
        first, last = map(str, when.period)
        alike = next((n for n in (10, 7) if first[:n] == last[:n]), 0)
        yield from [first[:alike]] if alike else []


def _proposals(text: str) -> Iterator[Focus]:
    for kind, number in PROPOSAL.findall(text)[:4]:
        key = f"{kind.lower()}:{int(number)}"
        yield Focus(conditions=(among_keys(key),), leads=NUMBER, missing=f"no {kind.upper()}-{int(number)}")


def _who(text: str, when: Dated | None) -> Iterator[Focus]:
    """An entity alone leads; one that is named among other words is raised."""
    words = bare_name(text)
    name = "".join(words)
    for symbol in DOLLAR_SYMBOL.findall(text)[:3]:
        missing = f"no symbol {symbol.upper()}"
        yield Focus(conditions=(among_keys(f"symbol:{symbol.upper()}"),), leads=WHO, missing=missing)
    if 0 < len(words) <= 4:
        yield Focus(conditions=(among_keys(f"name:{name}"),), leads=WHO)
        yield Focus(conditions=(among_keys(f"part:{name}"),), leads=WHO - 1)
        if near := near_keys(words):
            yield Focus(conditions=(among_keys(near),), leads=1)
    runs = words_of(text)
    if keys := [*run_keys(runs), *run_keys(runs[:6], "part", 4)]:
        yield Focus(conditions=(among_keys(keys),), weight=2)
    if near := [key for word in runs[:6] if len(word) > 6 for key in near_keys([word])]:
        yield Focus(conditions=(among_keys(near),))
    yield from _missing(text, when)


def _missing(text: str, when: Dated | None) -> Iterator[Focus]:
    """Whoever is named outright, of whom no event speaks, or none of that time."""
    times: list[tuple[DateRange, ...]] = [(_range(when.period),)] if when and not when.near else []
    for name, words in named_in(text):
        whole = [f"{kind}:{''.join(words)}" for kind in ("name", "part")]
        for span, word in product([(), *times], proper(words)):
            keys = among_keys(whole, near_keys(words), f"name:{word}", f"part:{word}")
            missing = f"nothing about '{name}': no '{word}'" + "".join(f" from {_told(t)}" for t in span)
            yield Focus(conditions=(keys, *span), weight=0.01, missing=missing)
            yield Focus(conditions=span, text=word, worded=True, weight=0.01, missing=missing)


def _scoped(when: Dated | None, bounds: Sequence[Bound], means: Sequence[AnyOf], text: str) -> Iterator[Focus]:
    """What meets all that is said leads, then what is of that time; around a day, the closer the better."""
    sure = [b for b in bounds if not (isinstance(b, AnyOf) and b.field == "type")]
    if means:
        leads = 1 if _leading(means) else 0
        yield Focus(conditions=(*bounds, *means), leads=ALL if bounds else leads, weight=2)
        either = AnyOf(field="techniques", values=tuple(value for one in means for value in one.values))
        yield Focus(conditions=(*bounds, either), leads=ALL - 1 if bounds else leads)
        yield Focus(conditions=tuple(means), leads=leads)
    if sure:
        told = ", ".join(map(_told, bounds))
        yield Focus(conditions=tuple(bounds), leads=MEANS, missing=f"no event of {told}")
    elif bounds:
        missing = f"no event of the kind {', '.join(map(_told, bounds))}"
        yield Focus(conditions=tuple(bounds), weight=1, missing=missing)
    if when and when.near:
        others = tuple(b for b in bounds if b.field != "date")
        for days, leads in CLOSENESS:
            yield Focus(conditions=(_range(when.period.within(days)), *others), leads=leads)
    elif when:
        yield Focus(conditions=tuple(_when(when, text)), leads=SCOPE)


def _leading(means: Sequence[AnyOf]) -> bool:
    return any(value not in vocabulary("names")["broad"] for one in means for value in one.values)


def _when(when: Dated | None, text: str) -> Iterator[DateRange]:
    if when:
        field = "active" if ACTIVE.search(text) else "date"
        yield _range(when.period.within(CLOSENESS[-1][0]) if when.near else when.period, field)


def _range(period: Period, field: str = "date") -> DateRange:
    first, last = (datetime.combine(d, t, UTC) for d, t in zip(period, (time.min, time.max), strict=True))
    return DateRange(field=field, start=first, end=last)


def _kinds(text: str) -> Iterator[AnyOf]:
    if kinds := [name for name, _ in said("types", text)]:
        yield AnyOf(field="type", values=tuple(kinds))


def _features(text: str, tables: Sequence[str]) -> Iterator[AnyOf]:
    fields = {"statuses": "status"}
    for table in tables:
        for name, _ in said(table, text):
            yield AnyOf(field=fields.get(table, table), values=(name,))


def _chains(text: str, kinds: Sequence[AnyOf]) -> Iterator[AnyOf]:
    """A chain's name is also a token's: it is one where it is said to be, or where there was an incident."""
    if CHAIN.search(text) or any("security-incident" in kind.values for kind in kinds):
        yield from _features(text, ("chains",))


def _losses(text: str, kinds: Sequence[AnyOf]) -> Iterator[Bound]:
    """Bounds of a loss, in dollars unless a coin is named: a number alone is no loss, nor are coins of no incident."""
    if any(said("unknown", text)):
        yield AnyOf(field="loss_unit", values=("unknown",))
        return
    limits = _limits(text)
    unit = next((limit.unit for limit in limits if limit.unit), "usd")
    incident = any("security-incident" in kind.values for kind in kinds)
    if not limits or not (incident or unit in ("usd", "busd") or re.search(r"(?<!\w)(?:loss|damage)", text)):
        return
    yield AnyOf(field="loss_unit", values=(unit,))
    for limit in limits[:2]:
        amount = {"above" if limit.over else "below": limit.amount}
        yield NumberRange.model_validate({"field": "loss_amount", **amount})


def _limits(text: str) -> list[Limit]:
    found = []
    for word, counted, number, factor, unit in LIMIT.findall(text):
        amount = COUNTS[counted] if counted else float(number.replace(",", ""))
        known = unit.removeprefix("w") if unit in UNITS else ""
        found.append((bool(re.fullmatch(OVER, word)), amount, factor, known, unit))
    if found and not any(
        factor or known or amount >= 1000 or unit in ("usd", "dollars") for _, amount, factor, known, unit in found
    ):
        return []
    last = next((factor for *_, factor, _, _ in reversed(found) if factor), "")
    limits = [
        Limit(over, amount * _factor(factor or (last if amount < 1000 else "")), known)
        for over, amount, factor, known, _ in found
    ]
    figures = FIGURES.search(text)
    if figures:
        digits = ("four", "five", "six", "seven", "eight", "nine").index(figures[1]) + 3
        limits.append(Limit(True, 10**digits - 1, "busd" if "busd" in text else ""))
    return limits


def _factor(word: str) -> float:
    return 1e5 if word == "hundred thousand" else FACTORS[word[0]] if word else 1.0


def _shape(text: str) -> Iterator[Focus]:
    """Events before which the market stood so: in all that is said, and in any of it."""
    shape = [AnyOf(field="shape", values=(name,)) for name, _ in said("shape", text)]
    if len(shape) > 1:
        yield Focus(conditions=tuple(shape), weight=2)
    if shape:
        every = tuple(value for condition in shape for value in condition.values)
        yield Focus(conditions=(AnyOf(field="shape", values=every),), weight=0.5)


def _happenings(text: str) -> Iterator[Focus]:
    """What no event can be about whose texts have none of its words."""
    for words, match in said("happenings", text):
        yield Focus(text=words, worded=True, weight=0.01, missing=f"nothing about '{match[0]}'")


def _formal(text: str, bounds: Sequence[Bound]) -> Iterator[Focus]:
    """The same in the words of reports."""
    for words, _ in list(said("formal", text))[:3]:
        yield Focus(conditions=tuple(bounds), text=words, weight=1.5)


def _told(bound: Bound) -> str:
    if isinstance(bound, DateRange) and bound.start and bound.end:
        return _span(Period(bound.start.date(), bound.end.date()))
    if isinstance(bound, NumberRange):
        return f"above {bound.above:,.0f}" if bound.above is not None else f"below {bound.below:,.0f}"
    return " or ".join(bound.values) if isinstance(bound, AnyOf) else ""


def _span(period: Period) -> str:
    return f"{period.first} to {period.last}"

"""How questions about events are read: who, when, how much, by which means, and how the market stood."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from itertools import product

from overfetch import AnyOf, DateRange, Focus, NumberRange, Period, Understood, absence, period_in
from paiddaily.losses import loss_bounds
from paiddaily.names import KNOWN, LOOKED_AT, absent, bare_name, looked_up, near_keys, run_keys, words_of
from paiddaily.records import INCIDENT
from paiddaily.whom import named_in, proper

Bound = AnyOf | DateRange | NumberRange
# How far each leads.
NUMBER, WHO, ALL, CLOSE, MEANS, SCOPE = 9, 8, 7, 5, 3, 2
FAR = 30  # days
CLOSENESS = ((2, CLOSE + 1), (10, CLOSE), (FAR, CLOSE - 1))  # days around, and how far that leads

PROPOSAL = re.compile(r"(?<!\w)(eip|erc)s?[\s#-]{0,2}(\d{1,6})(?!\d)", re.IGNORECASE)
DOLLAR_SYMBOL = re.compile(r"(?<!\w)\$([A-Za-z]{2,6})(?!\w)")


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
    when = period_in(looked_at, day, partial(KNOWN.said, "landmarks"))
    kinds, signs = tuple(KNOWN.said("type", lower)), KNOWN.said("signs", lower)
    status, means, chains, shape = (_each(field, lower) for field in ("status", "techniques", "chains", "shape"))
    if not ("chain" in signs or INCIDENT in kinds):  # a chain's name is also a token's
        chains = []
    field = "active" if "live" in signs else "date"
    span = [when.within(FAR if when.near else 0).of(field)] if when else []
    of_kind = [AnyOf(field="type", values=kinds)] if kinds else []
    bounds = [*span, *of_kind, *loss_bounds(lower, incident=INCIDENT in kinds), *status]
    focuses = [
        *_proposals(looked_at),
        *_who(looked_at),
        *_missing(looked_at, when),
        *_scoped(when, bounds, means),
        *(Focus(conditions=(chain, *bounds), weight=2, missing=f"no event on {_told(chain)}") for chain in chains),
        *_shape(shape, span),
        *(Focus(conditions=tuple(bounds), text=t, weight=1.5) for t in list(KNOWN.said("formal", lower))[:3]),
        # Texts on these have one of their words.
        *(absence(f"nothing about '{m[0]}'", words=t) for t, m in KNOWN.said("happenings", lower).items()),
    ]
    notes = tuple(map(_told, [*bounds, *means, *chains]))
    return Understood(text=text, focuses=tuple(focuses[:32]), named=tuple(_named(looked_at, when)), notes=notes)


def _named(text: str, when: Period | None) -> Iterator[str]:
    """How events may write who, which proposal and when."""
    yield from (f"{kind}-{int(number)}" for kind, number in PROPOSAL.findall(text)[:4])
    yield from DOLLAR_SYMBOL.findall(text)[:3]
    if 0 < len(words := bare_name(text)) <= 4:
        yield " ".join(words)
    if when and when.written:
        yield when.written


def _each(field: str, text: str) -> list[AnyOf]:
    return [AnyOf(field=field, values=(name,)) for name in KNOWN.said(field, text)]


def _either(bounds: Sequence[AnyOf]) -> AnyOf:
    return AnyOf(field=bounds[0].field, values=tuple(value for bound in bounds for value in bound.values))


def _proposals(text: str) -> Iterator[Focus]:
    for kind, number in PROPOSAL.findall(text)[:4]:
        missing = f"no {kind.upper()}-{int(number)}"
        yield from looked_up(f"{kind.lower()}:{int(number)}", leads=NUMBER, missing=missing)


def _who(text: str) -> Iterator[Focus]:
    """An entity alone leads; one that is named among other words is raised."""
    for symbol in map(str.upper, DOLLAR_SYMBOL.findall(text)[:3]):
        yield from looked_up(f"symbol:{symbol}", leads=WHO, missing=f"no symbol {symbol}")
    words, said = bare_name(text), words_of(text)
    if 0 < len(words) <= 4:
        yield from looked_up(f"name:{''.join(words)}", leads=WHO)
        yield from looked_up(f"part:{''.join(words)}", leads=WHO - 1)
        yield from looked_up(near_keys(words), leads=1)
    yield from looked_up([*run_keys(said), *run_keys(said[:6], "part", 4)], weight=2)
    yield from looked_up([key for word in said[:6] if len(word) > 6 for key in near_keys([word])])


def _missing(text: str, when: Period | None) -> Iterator[Focus]:
    """Whoever is named outright, of whom no event speaks, or none of that time."""
    spans: list[tuple[DateRange, ...]] = [(), *([(when.of("date"),)] if when and not when.near else [])]
    for name, words in named_in(text):
        whole = "".join(words)
        for span, word in product(spans, proper(words)):
            keys = [f"name:{whole}", f"part:{whole}", *near_keys(words), f"name:{word}", f"part:{word}"]
            missing = f"nothing about '{name}': no '{word}'" + "".join(f" from {_told(time)}" for time in span)
            yield from absent(missing, word, keys, *span)


def _scoped(when: Period | None, bounds: Sequence[Bound], means: Sequence[AnyOf]) -> Iterator[Focus]:
    """What meets all that is said leads, then what is of that time; around a day, the closer the better."""
    if means:
        leads = 0 if KNOWN.words("names.broad").issuperset(_either(means).values) else 1
        yield Focus(conditions=(*bounds, *means), leads=ALL if bounds else leads, weight=2)
        yield Focus(conditions=(*bounds, _either(means)), leads=ALL - 1 if bounds else leads)
        yield Focus(conditions=tuple(means), leads=leads)
    if any(bound.field != "type" for bound in bounds):
        yield Focus(conditions=tuple(bounds), leads=MEANS, missing=f"no event of {', '.join(map(_told, bounds))}")
    elif bounds:
        yield Focus(conditions=tuple(bounds), missing=f"no event of the kind {_told(bounds[0])}")
    if when and when.near:
        others = [bound for bound in bounds if bound.field != "date"]
        for days, leads in CLOSENESS:
            yield Focus(conditions=(when.within(days).of("date"), *others), leads=leads)
    elif when:
        yield Focus(conditions=tuple(bounds[:1]), leads=SCOPE)


def _shape(shape: Sequence[AnyOf], span: Sequence[DateRange]) -> Iterator[Focus]:
    """Events before which the market stood so: in all that is said, which leads in its time, and in any of it."""
    if len(shape) > 1:
        yield Focus(conditions=(*span, *shape), leads=ALL if span else 0, weight=2)
    if shape:
        yield Focus(conditions=(_either(shape),), weight=0.5)


def _told(bound: Bound) -> str:
    if isinstance(bound, AnyOf):
        return " or ".join(bound.values)
    if isinstance(bound, DateRange):
        return f"{bound.start:%Y-%m-%d} to {bound.end:%Y-%m-%d}"
    return f"below {bound.below:,.0f}" if bound.above is None else f"above {bound.above:,.0f}"

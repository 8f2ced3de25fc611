"""How questions about events are read: who, when, how much, by which means, and how the market stood."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from itertools import product

from overfetch import AnyOf, Condition, Focus, Period, Understood, absence, is_rare, period_in, told, unheard
from paiddaily.losses import loss_bounds, loss_sizes
from paiddaily.names import KNOWN, LOOKED_AT, absent, bare_name, called, having, near_keys, own_name, run_keys, words_of
from paiddaily.records import INCIDENT
from paiddaily.whom import named_in

# How far each leads.
NUMBER, WHO, SIZE, ALL, CLOSE, MEANS, SCOPE = 13, 12, 10, 7, 5, 3, 2
FAR = 30  # days
CLOSENESS = ((2, CLOSE + 1), (10, CLOSE), (FAR, CLOSE - 1))  # days around, and how far that leads

RAISED = 1.5  # weight of the events that a question speaks of without naming their type
USD = AnyOf(field="loss_unit", values=("usd",))

PROPOSAL = re.compile(r"(?<!\w)(eip|erc)s?(?: (?:no\.?|number))?[\s#-]{0,2}(\d{1,6})(?!\d)", re.IGNORECASE)
SYMBOL = re.compile(r"(?<!\w)\$([A-Za-z]{2,6})(?!\w)")


def understand_catalysts(question: str, day: date) -> Understood:
    """Dates in words bound the events or come closest first; names, numbers and losses are matched in fields.

    >>> understood = understand_catalysts("rug pulls over $100k, spring 2023", date(2026, 1, 1))
    >>> understood.notes
    ('2023-03-01 to 2023-05-31', 'security-incident', 'usd', 'above 100,000', 'rug-pull')
    >>> understand_catalysts("eip 9999", date(2026, 1, 1)).focuses[0].missing
    'no EIP-9999'
    """
    text = KNOWN.without("unwanted", question.strip())
    looked_at, lower = text[:LOOKED_AT], text[:LOOKED_AT].lower()
    when = period_in(looked_at, day, partial(KNOWN.said, "landmarks"))
    signs, kinds = KNOWN.said("signs", lower), _kinds(lower)
    incident = INCIDENT in kinds
    of_kind = [AnyOf(field="type", values=kinds)] if kinds else []
    status = _each(lower, "status") if not kinds or "protocol-proposal" in kinds else []
    means, likely = (_each(lower, of) if incident or not kinds else [] for of in ("techniques", "asked.techniques"))
    chains = _each(lower, "chains", "asked.chains") if incident or "chain" in signs else []  # also names of tokens
    span = [when.within(FAR if when.near else 0).of("active" if "live" in signs else "date")] if when else []
    losses, shape = loss_bounds(lower, incident=incident), _each(lower, "shape")
    sizes = list(loss_sizes(lower))[:3] if not losses and (incident or not kinds) else []
    said = span or losses or set(kinds) <= set(KNOWN.said("type", lower))
    bounds = [*span, *(of_kind if said else []), *losses, *status]
    lists: list[tuple[int, tuple[Condition, ...], str | None]] = [
        *((SIZE - place, (USD, size, *bounds, *means[:1]), None) for place, size in enumerate(sizes)),
        *((ALL if bounds else SCOPE, (chain, *bounds), f"no event on {told(chain)}") for chain in chains),
        *((ALL - 2 if bounds else 0, (*bounds, _either(likely)), None) for _ in likely[:1]),
        *((ALL if span else 0, tuple[Condition, ...]([*span, *shape]), None) for _ in shape[1:2]),
    ]
    focuses = [
        *_who(looked_at, of_kind),
        *_missing(looked_at, when),
        *_scoped(when, bounds, means),
        *(Focus(conditions=met, leads=leads, weight=2, missing=none) for leads, met, none in lists),
        *(Focus(conditions=(_either(shape),), weight=0.5) for _ in shape[1:2]),
        *(Focus(conditions=(kind,), weight=RAISED) for kind in of_kind if [kind] != bounds),
        *(Focus(conditions=(*span, *of_kind), text=t, weight=RAISED) for t in list(KNOWN.said("formal", lower))[:4]),
        # Texts on these have one of their words.
        *(absence(f"nothing about '{m[0]}'", words=t) for t, m in KNOWN.said("happenings", lower).items()),
        *unheard(looked_at, KNOWN.knows, called=called),
    ]
    notes = tuple(map(told, [*bounds, *means, *likely, *chains]))
    return Understood(text=text, focuses=tuple(focuses[:32]), named=tuple(_named(looked_at, when)), notes=notes)


def _kinds(text: str) -> tuple[str, ...]:
    """Types of events: those that are named, unless most other words are of others; how a market stood says of none.

    >>> _kinds("eips on gas"), _kinds("casino hit by a cyber attack")[:2], _kinds("bitcoin")
    (('protocol-proposal', 'protocol-upgrade'), ('8k', 'Earnings'), ())
    """
    named, kinds = tuple(KNOWN.said("type", text)), KNOWN.table("kinds")
    means = {*KNOWN.said("techniques", text), *KNOWN.said("asked.techniques", text)} - KNOWN.words("names.broad")
    spoken = KNOWN.counted("speaks", text) + Counter(incident=bool(means))
    spoken.update(kind for kind, types in kinds.items() if set(types) & set(named))
    most = [kinds[kind] for kind, count in spoken.items() if count == max(spoken.values())]
    is_named = len(most) != 1 or set(named) & set(most[0]) or set(named) - set().union(*kinds.values())
    return named if is_named or KNOWN.said("shape", text) else tuple(most[0])


def _named(text: str, when: Period | None) -> Iterator[str]:
    """How events may write who, which proposal and when."""
    yield from (f"{kind}-{int(number)}" for kind, number in PROPOSAL.findall(text)[:4])
    yield from SYMBOL.findall(text)[:3]
    if 0 < len(words := bare_name(text)) <= 4:
        yield " ".join(words)
    yield from [when.written] if when and when.written else []


def _each(text: str, *tables: str) -> list[AnyOf]:
    return [AnyOf(field=of.rpartition(".")[2], values=(name,)) for of in tables for name in KNOWN.said(of, text)]


def _either(bounds: Sequence[AnyOf]) -> AnyOf:
    return AnyOf(field=bounds[0].field, values=tuple(value for bound in bounds for value in bound.values))


def _who(text: str, of_kind: Sequence[AnyOf]) -> Iterator[Focus]:
    """An entity alone leads; one that is named among other words is raised."""
    for kind, number in PROPOSAL.findall(text)[:4]:
        # A token of that standard may be attacked.
        missing = None if any(INCIDENT in one.values for one in of_kind) else f"no {kind.upper()}-{int(number)}"
        yield from having(f"{kind.lower()}:{int(number)}", leads=NUMBER, missing=missing)
    for symbol in map(str.upper, SYMBOL.findall(text)[:3]):
        yield from having(f"symbol:{symbol}", leads=WHO, missing=f"no symbol {symbol}")
    words, said = bare_name(text), words_of(text)
    if 0 < len(words) <= 4:
        yield from having(f"name:{''.join(words)}", leads=WHO)
        yield from having(f"part:{''.join(words)}", leads=WHO - 1)
        yield from having(near_keys(words), leads=1)
    yield from having([*run_keys(said), *run_keys(said[:6], "part", 4)], *of_kind, weight=2)
    yield from having([key for word in said[:6] if len(word) > 6 for key in near_keys([word])], *of_kind)
    strange = [word for word in said[:6] if len(word) > 4 and is_rare(word) and not KNOWN.knows(word)]
    yield from having([key for word in strange for key in near_keys([word])], *of_kind, weight=2, leads=MEANS)


def _missing(text: str, when: Period | None) -> Iterator[Focus]:
    """Whoever is named outright, of whom no event speaks, or none of that time: about a month people may be wrong."""
    spans = [(), (when.of("date"),)] if when and not (when.near or when.written) else [()]
    for whom, words in named_in(text):
        # An event may say no more than `Uranium` of Uranium Finance; nothing misspelt.
        for span, word in product(spans, [word for word in own_name(words) if not KNOWN.is_misspelt(word)]):
            keys = [f"{kind}:{name}" for kind in ("name", "part") for name in ("".join(words), word)] + near_keys(words)
            missing = f"nothing about '{whom}': no '{word}'" + "".join(f" from {told(time)}" for time in span)
            yield from absent(missing, [word], keys, *span)


def _scoped(when: Period | None, bounds: Sequence[Condition], means: Sequence[AnyOf]) -> Iterator[Focus]:
    """What meets all that is said leads, then what is of that time; around a day, the closer the better."""
    if means:
        leads = 0 if KNOWN.words("names.broad").issuperset(_either(means).values) else 1
        yield Focus(conditions=(*bounds, *means), leads=ALL if bounds else leads, weight=2)
        yield Focus(conditions=(*bounds, _either(means)), leads=ALL - 1 if bounds else leads)
        yield Focus(conditions=tuple(means), leads=leads)
    if bounds:
        leads = MEANS if any(bound.field != "type" for bound in bounds) else 0
        missing = f"no event of {', '.join(map(told, bounds))}" if leads or not means else None
        yield Focus(conditions=tuple(bounds), leads=leads, missing=missing)
    if when and when.near:
        others = [bound for bound in bounds if bound.field != "date"]
        for days, leads in CLOSENESS:
            yield Focus(conditions=(when.within(days).of("date"), *others), leads=leads)
    elif when:
        yield Focus(conditions=tuple(bounds[:1]), leads=SCOPE)

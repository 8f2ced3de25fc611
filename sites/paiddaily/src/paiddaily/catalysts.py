"""How questions about events are read: who, when, how much, by which means, and how the market stood."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial
from itertools import product

from overfetch import AnyOf, Condition, Focus, Period, Understood, absence, is_rare, parted, period_in, told, unheard
from paiddaily.losses import loss_bounds, loss_sizes
from paiddaily.names import KNOWN, LOOKED_AT, absent, bare_name, called, having, near_keys, own_name, run_keys, words_of
from paiddaily.records import INCIDENT
from paiddaily.whom import named_in, says_how

# How far each leads.
NUMBER, WHO, SIZE, ALL, CLOSE, MEANS, SCOPE = 18, 17, 15, 8, 6, 3, 2
RAISED = 1.5  # weight of the events that a question speaks of without naming their type
USD = AnyOf(field="loss_unit", values=("usd",))


def understand_catalysts(question: str, day: date) -> Understood:
    """Dates in words bound the events or come closest first; names, numbers and losses are matched in fields.

    >>> understood = understand_catalysts("rug pulls over $100k, spring 2023", date(2026, 1, 1))
    >>> understood.notes
    ('2023-03-01 to 2023-05-31', 'security-incident', 'usd', 'above 100,000', 'rug-pull')
    >>> understand_catalysts("eip 9999", date(2026, 1, 1)).focuses[0].missing
    'no EIP-9999'
    """
    text, left_out = parted(question, KNOWN.table("names.unwanted"), partial(_tells_apart, day))
    looked_at, lower = text[:LOOKED_AT], text[:LOOKED_AT].lower()
    when = period_in(looked_at, day, partial(KNOWN.said, "landmarks"))
    signs, kinds = KNOWN.said("signs", lower), _kinds(lower)
    incident, of_kind = INCIDENT in kinds, [AnyOf(field="type", values=kinds)] if kinds else []
    status = _status(lower, left_out) if not kinds or "protocol-proposal" in kinds else []
    means, likely = (_each(lower, of) if incident or not kinds else [] for of in ("techniques", "asked.techniques"))
    chains = _each(lower, "chains", "asked.chains") if incident or "chain" in signs else []  # also names of tokens
    span = [when.whole.of("active" if "live" in signs else "date")] if when else []
    losses, shape = loss_bounds(lower, incident=incident), _each(lower, "shape")
    sizes = list(loss_sizes(lower))[:3] if not losses and (incident or not kinds) else []
    bounds = [*span, *(of_kind if span or losses or {*kinds} <= {*KNOWN.said("type", lower)} else []), *losses, *status]
    focuses = [
        *_who(looked_at, of_kind, [*span, *(shape if shape[1:] else ())]),
        *_missing(looked_at, when),
        *_scoped(when, bounds, means, chains),
        *(Focus(conditions=(USD, s, *bounds, *means[:1]), leads=SIZE - n, weight=2) for n, s in enumerate(sizes)),
        *(Focus(conditions=(chain, *bounds), leads=ALL if bounds else SCOPE, weight=2) for chain in chains),
        *(Focus(conditions=(*bounds, _either(likely)), leads=ALL - 2 if bounds else 0, weight=2) for _ in likely[:1]),
        *(Focus(conditions=(*span, *shape), leads=ALL if span else 0, weight=2) for _ in shape[1:2]),
        *(absence(f"no event on {told(chain)}", chain) for chain in chains),  # of most it is not known on which
        *(Focus(conditions=(_either(shape),), weight=0.5) for _ in shape[1:2]),
        *(Focus(conditions=(kind,), weight=RAISED) for kind in of_kind if [kind] != bounds),
        *(Focus(conditions=(*span, *of_kind), text=t, weight=RAISED) for t in list(KNOWN.said("formal", lower))[:4]),
        # Texts on these have one of their words.
        *(absence(f"nothing about '{m[0]}'", words=t) for t, m in KNOWN.said("happenings", lower).items()),
        *unheard(looked_at, KNOWN.knows, called=called),
    ]
    notes = tuple(map(told, [*bounds, *means, *likely, *chains]))
    return Understood(text=text, focuses=tuple(focuses[:32]), named=tuple(_named(looked_at, when)), notes=notes)


def _tells_apart(day: date, what: str) -> bool:
    """Whether events are told apart by it; a check that is lacking is what a question is about."""
    tables = ("techniques", "asked.techniques", "chains", "asked.chains", "status")
    return bool(period_in(what, day)) or (not KNOWN.said("lacking", what) and any(KNOWN.said(t, what) for t in tables))


def _status(text: str, left_out: str) -> list[AnyOf]:
    """The states that are asked for, or all but those that are left out."""
    unwanted = KNOWN.said("status", left_out)
    among = [s for s in KNOWN.said("status", text) if s not in unwanted] or (KNOWN.table("status") if unwanted else ())
    return [AnyOf(field="status", values=tuple(s for s in among if s not in unwanted))] if among else []


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
    yield from (f"{kind}-{int(number)}" for kind, number in re.findall(KNOWN.table("names.proposal"), text)[:4])
    yield from re.findall(KNOWN.table("names.symbol"), text)[:3]
    yield from [" ".join(words)] if 0 < len(words := bare_name(text)) <= 4 else []
    yield from [when.written] if when and when.written else []


def _each(text: str, *tables: str) -> list[AnyOf]:
    return [AnyOf(field=of.rpartition(".")[2], values=(name,)) for of in tables for name in KNOWN.said(of, text)]


def _either(bounds: Sequence[AnyOf]) -> AnyOf:
    return AnyOf(field=bounds[0].field, values=tuple(value for bound in bounds for value in bound.values))


def _who(text: str, of_kind: Sequence[AnyOf], within: Sequence[Condition]) -> Iterator[Focus]:
    """An entity alone leads, and one of several words or of a rare one among others; any that is named is raised."""
    for kind, number in re.findall(KNOWN.table("names.proposal"), text)[:4]:
        # A token of that standard may be attacked.
        missing = None if any(INCIDENT in one.values for one in of_kind) else f"no {kind.upper()}-{int(number)}"
        yield from having(f"{kind.lower()}:{int(number)}", leads=NUMBER, missing=missing)
    for symbol in map(str.upper, re.findall(KNOWN.table("names.symbol"), text)[:3]):
        yield from having(f"symbol:{symbol}", leads=WHO, missing=f"no symbol {symbol}")
    words, said = bare_name(re.sub(KNOWN.table("names.counted"), " ", text)), words_of(text)
    words = bare_name(text) if says_how(" ".join(words)) else words
    if 0 < len(words) <= 4:
        yield from having(f"name:{''.join(words)}", leads=WHO)
        yield from having(f"part:{''.join(words)}", leads=WHO - 1)
        yield from having(near_keys(words), leads=1)
    rare = [word for word in said if is_rare(word)]
    # What is nearly a word that is known is a name, or else nothing's.
    names = [key for key in run_keys(said) if key[5:] in rare or key[5:] not in said]
    yield from having([*names, *(f"part:{w}" for w in rare if KNOWN.is_misspelt(w))], *of_kind, *within, leads=WHO - 1)
    yield from having([*run_keys(said), *run_keys(said[:6], "part", 4)], *of_kind, weight=2)
    yield from having([key for word in said[:6] if len(word) > 6 for key in near_keys([word])], *of_kind)
    keys = [key for word in rare if len(word) > 4 and not KNOWN.knows(word) for key in near_keys([word])]
    yield from having(keys, *of_kind, weight=2, leads=MEANS)


def _missing(text: str, when: Period | None) -> Iterator[Focus]:
    """Whoever is named outright, of whom no event speaks, or none of that time: about a month people may be wrong."""
    spans = [(), (when.of("date"),)] if when and not (when.near or when.written) else [()]
    for whom, words in named_in(text):
        # An event may say no more than `Uranium` of Uranium Finance; nothing misspelt.
        for span, word in product(spans, [word for word in own_name(words) if not KNOWN.is_misspelt(word)]):
            keys = [f"{kind}:{name}" for kind in ("name", "part") for name in ("".join(words), word)] + near_keys(words)
            missing = f"nothing about '{whom}': no '{word}'" + "".join(f" from {told(time)}" for time in span)
            yield from absent(missing, [word], keys, *span)


def _scoped(when: Period | None, bounds: Sequence[Condition], means: list[AnyOf], on: list[AnyOf]) -> Iterator[Focus]:
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
    yield from [Focus(conditions=tuple(bounds[:1]), leads=SCOPE)] if when else []
    for place, closer in enumerate(when.closer if when else ()):
        met = (closer.of("date"), *(bound for bound in bounds if bound.field != "date"))
        yield Focus(conditions=met, leads=(CLOSE + 1 if when and when.near else SCOPE) - place)
        if when and when.near and (how := (*means[:1], *on[:1])):
            yield Focus(conditions=(*met, *how), leads=ALL + 4 - place)

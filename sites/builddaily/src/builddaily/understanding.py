"""How a developer's question is read: the names in it are looked up, whole and first; the rest is searched as it is."""

import re
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import chain, islice

from builddaily.identifiers import forms, is_identifier, parts_of, singular, squash, tokens
from builddaily.vocabulary import vocabulary
from overfetch import AnyOf, Focus, Understood

LOOKED_AT = 1_000  # characters of a question
MOST_IDENTIFIERS, MOST_WORDS, LONGEST_NAME = 4, 60, 5
WORD = re.compile(r"[^\W_]+(?:[+#]+|\.(?=\d)[\d.]*\d)?")
# A message that was pasted names what the asker's own code is called, too.
MESSAGE = re.compile(r"\b(?:error|exception|traceback|warning)\b|\w(?:Error|Exception|Warning)\b", re.IGNORECASE)


def understand(question: str, _day: date) -> Understood:
    """Passages about what the question names, and about its product, are lists of their own beside the question's.

    >>> read = understand("what is dspy.BestOfN", date(2026, 1, 1))
    >>> read.notes, [focus.missing for focus in read.focuses if focus.missing]
    (('looked up: dspy.BestOfN',), ['dspy.BestOfN'])
    >>> understand("keep the answers short", date(2026, 1, 1)).notes
    ()
    """
    seen = question[:LOOKED_AT]
    identifiers = list(dict.fromkeys(islice(_identifiers(seen), MOST_IDENTIFIERS)))
    words = [squash(word) for word in islice((found[0] for found in WORD.finditer(seen)), MOST_WORDS)]
    focuses = [
        *chain.from_iterable(_looked_up(name, _may_be_own(seen, name)) for name in identifiers),
        *_named(words),
    ]
    notes = (f"looked up: {', '.join(identifiers)}",) if identifiers else ()
    return Understood(text=question, focuses=tuple(focuses), notes=notes)


def _identifiers(question: str) -> Iterator[str]:
    brands = vocabulary().brands
    return (token for token in tokens(question) if is_identifier(token) and squash(token) not in brands)


def _may_be_own(question: str, identifier: str) -> bool:
    """Of an error message, of the asker's own code, or of no code at all: its absence says nothing."""
    plain = "_" not in identifier and identifier.islower() and not identifier.startswith("--")
    own = re.search(rf"\bmy {re.escape(identifier)}", question, re.IGNORECASE)
    return plain or bool(own) or MESSAGE.search(question) is not None


def _looked_up(identifier: str, may_be_own: bool) -> Iterator[Focus]:
    """Pages that are called so, passages that define it, passages that mention it."""
    whole = tuple(map(singular, forms(identifier)[:1]))
    missing = None if may_be_own else identifier
    yield Focus(conditions=(AnyOf(field="names", values=whole),), weight=4, leads=True)
    yield Focus(conditions=(AnyOf(field="defines", values=whole),), weight=2, leads=True)
    parts = parts_of(identifier)
    said = [parts[0], parts[-1]] if len(parts) > 1 else parts
    yield Focus(conditions=tuple(AnyOf(field="mentions", values=(singular(part),)) for part in said), missing=missing)


def _named(words: list[str]) -> Iterator[Focus]:
    """Pages and products whose name the question has: longer names count more; it may be nothing but a name."""
    if rest := _without_asking(words):
        yield Focus(conditions=(AnyOf(field="names", values=(singular("".join(rest)),)),), weight=4, leads=True)
    single, *longer = [_values("".join(gram) for gram in _grams(words, n)) for n in range(1, LONGEST_NAME + 1)]
    several = tuple(chain.from_iterable(longer))
    if several:
        yield Focus(conditions=(AnyOf(field="names", values=several),), weight=1.5)
    if single:
        yield Focus(conditions=(AnyOf(field="names", values=single),), weight=0.5)
        yield Focus(conditions=(AnyOf(field="product", values=(*single, *several)),), weight=0.5)


def _without_asking(words: list[str]) -> list[str]:
    asking = vocabulary().asking
    kept = [place for place, word in enumerate(words) if word not in asking]
    return words[kept[0] : kept[-1] + 1] if kept else []


def _grams(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    """Runs of words that neither begin nor end with one that names nothing."""
    stop = vocabulary().stop
    grams = (tuple(words[start : start + length]) for start in range(len(words) - length + 1))
    return (gram for gram in grams if not stop & {gram[0], gram[-1]})


def _values(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(singular, names)))

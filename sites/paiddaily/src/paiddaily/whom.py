"""Whom a question about events names outright: by the words beside a name, or by a word that nobody commonly writes."""

import re
from collections.abc import Iterator

from overfetch import is_rare
from paiddaily.names import KNOWN, bare_name

MOST_NAMES, MOST_WORDS = 2, 3


def named_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """The first names of up to three words, as they are written and in words.

    >>> list(named_in("what happened to Silvergate Bank's filings")), list(named_in("flash loan attacks"))
    ([('silvergate bank', ['silvergate', 'bank'])], [])
    """
    lower = text.lower()
    reported = [match["whom"] for match in KNOWN.said("whom", lower).values()]
    for name in [*re.findall(KNOWN.table("names.quoted"), text), *reported, *_bare(lower)][:MOST_NAMES]:
        words = bare_name(name)
        if 0 < len(words) <= MOST_WORDS and any(map(is_rare, words)) and not says_how(name.lower()):
            yield name, words


def says_how(words: str) -> bool:
    """Whether they are of an attack or a chain, or of any protocol: no name that may be missing."""
    kinds = KNOWN.words("names.kinds")
    return not kinds.isdisjoint(words.split()) or any(KNOWN.said(t, words) for t in ("techniques", "chains", "type"))


def _bare(text: str) -> Iterator[str]:
    """One word beside a date and a kind of attack; a few, of which the first is none that people commonly write."""
    words = [word for word in bare_name(text) if not word.isdigit()]
    alone = [word for word in words if not says_how(word)]
    if len(alone) == 1 and len(alone[0]) > 3 and len(text.split()) < 5:
        yield alone[0]
    strange = [word for word in words if word not in KNOWN.words("names.months")]
    if 0 < len(strange) < 4 and len(strange[0]) > 3 and is_rare(strange[0]):
        yield " ".join(strange)

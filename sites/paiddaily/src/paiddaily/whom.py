"""Whom a question about events names outright: by the words beside a name, or by a word that nobody commonly writes."""

import re
from collections.abc import Iterator, Sequence

from overfetch import token_counter
from paiddaily.chunking import EMBEDDER
from paiddaily.names import KNOWN, bare_name, own_words

MOST_NAMES, MOST_WORDS = 2, 3
QUOTED = re.compile(r"[\"“]([^\"“”]{2,60})[\"”]")


def named_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """The first names of up to three words, as they are written and in words.

    >>> list(named_in("what happened to Silvergate Bank's filings")), list(named_in("flash loan attacks"))
    ([('silvergate bank', ['silvergate', 'bank'])], [])
    """
    lower = text.lower()
    reported = [match["whom"] for match in KNOWN.said("whom", lower).values()]
    for name in [*QUOTED.findall(text), *reported, *_alone(lower), *_strange(lower)][:MOST_NAMES]:
        words = bare_name(name)
        if 0 < len(words) <= MOST_WORDS and not _says_how(name.lower()):
            yield name, words


def proper(words: Sequence[str]) -> list[str]:
    """An event may say no more than `Uranium` of Uranium Finance; nothing misspelt."""
    return [word for word in own_words(words) if not KNOWN.is_misspelt(word)]


def _says_how(words: str) -> bool:
    """Whether they are of an attack or a chain, or of any protocol: no name that may be missing."""
    kinds = KNOWN.words("names.kinds")
    return not kinds.isdisjoint(words.split()) or any(KNOWN.said(t, words) for t in ("techniques", "chains", "type"))


def _alone(text: str) -> Iterator[str]:
    """One word beside a date and a kind of attack."""
    words = [word for word in bare_name(text) if not word.isdigit() and not _says_how(word)]
    if len(words) == 1 and len(words[0]) > 3 and len(text.split()) < 5:
        yield words[0]


def _strange(text: str) -> Iterator[str]:
    """A few words, of which the first is none that people commonly write."""
    words = [word for word in bare_name(text) if not word.isdigit() and word not in KNOWN.words("names.months")]
    if 0 < len(words) < 4 and len(words[0]) > 3 and words[0].isalpha() and token_counter(EMBEDDER)(words[0]) > 1:
        yield " ".join(words)

"""Whom a question about events names outright: by the words beside a name, or by a word that nobody commonly writes."""

import re
from collections.abc import Iterator
from difflib import get_close_matches

from overfetch import token_counter
from paiddaily.asking import bare_name
from paiddaily.chunking import EMBEDDER
from paiddaily.dates import MONTHS
from paiddaily.vocabulary import every_word, said, vocabulary, words_beside_names

MOST_NAMES, MOST_WORDS = 2, 3
NEAR, SHORTEST_MISSPELT = 0.85, 6  # how alike a misspelt word and its right form are, of 1
QUOTED = re.compile(r"[\"“]([^\"“”]{2,60})[\"”]")
# Whoever a report or an attack is said to be of.
OF_WHOM = re.compile(
    r"^(?:the |when did |what happened (?:to|at) )?([\w&'. ]{2,40}?)(?:'s)? (?:8-?ks?|earnings|filings?|quarterly"
    r"|hack(?:ed)?|exploit(?:ed)?|collapsed?|bankruptcy|insolvency|breach|drained|heist|theft|phishing|outage|repayments?|dividends?"
    r"|results|guidance|layoffs|bridge|wallet|protocol|network|exchange)(?!\w)"
)


def named_in(text: str) -> Iterator[tuple[str, list[str]]]:
    """The first names of up to three words, as they are written and in words.

    >>> list(named_in("what happened to Silvergate Bank's filings")), list(named_in("flash loan attacks"))
    ([('silvergate bank', ['silvergate', 'bank'])], [])
    """
    lower = text.lower()
    for name in [*QUOTED.findall(text), *OF_WHOM.findall(lower), *_alone(lower), *_strange(lower)][:MOST_NAMES]:
        words = bare_name(name)
        if 0 < len(words) <= MOST_WORDS and not _says_how(name.lower()):
            yield name, words


def proper(words: list[str]) -> list[str]:
    """Without what many are called: an event may say no more than `Uranium` of Uranium Finance; nothing misspelt."""
    own = [word for word in words if word not in words_beside_names("generic")] or words
    return [word for word in own if not _is_misspelt(word)]


def _says_how(text: str) -> bool:
    """Whether it is of an attack or a chain, or of any protocol: no name that may be missing."""
    kinds = vocabulary("names")["kinds"]
    return any(any(said(t, text)) for t in ("techniques", "chains", "types")) or any(w in kinds for w in text.split())


def _is_misspelt(word: str) -> bool:
    """Near to a word of this field."""
    is_known = len(word) < SHORTEST_MISSPELT or word in every_word()
    return not is_known and bool(get_close_matches(word, every_word(), n=1, cutoff=NEAR))


def _alone(text: str) -> Iterator[str]:
    """One word beside a date and a kind of attack."""
    words = [word for word in bare_name(text) if not word.isdigit() and not _says_how(word)]
    if len(words) == 1 and len(words[0]) > 3 and len(text.split()) < 5:
        yield words[0]


def _strange(text: str) -> Iterator[str]:
    """A few words, of which the first is none that people commonly write."""
    words = [word for word in bare_name(text) if not word.isdigit() and word[:3] not in MONTHS]
    is_short = 0 < len(words) < 4 and len(words[0]) > 3 and words[0].isalpha()
    if is_short and token_counter(EMBEDDER)(words[0]) > 1:
        yield " ".join(words)

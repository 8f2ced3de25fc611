"""What developers say in their own words, in those that pages have for it."""

from collections.abc import Iterable
from functools import cache

from builddaily.identifiers import KNOWN, singular
from overfetch import is_near

MOST_FIELDS = 3
ENDING = 2  # letters


def field_words(question: str) -> list[str]:
    """By what most of the question says first.

    >>> field_words("the model should answer word by word, openai is down again")
    ['fallback', 'streaming']
    """
    found = KNOWN.said("everyday", question.lower())
    return sorted(found, key=lambda words: found[words].start() - found[words].end())[:MOST_FIELDS]


def spelled(words: Iterable[str]) -> dict[str, str]:
    """Of words that the field writes otherwise by a letter, how it does.

    >>> spelled(["haystak", "wisper", "transcriber", "embeddings"])
    {'haystak': 'haystack', 'wisper': 'whisper'}
    """
    near = {word: _nearest(word) for word in words if singular(word) not in _right()}
    return {word: right for word, right in near.items() if right}


def _nearest(word: str) -> str | None:
    """Another first letter is another word, and another ending (`trained`, `trainer`) no mistake."""
    likely = (right for right in sorted(_right()) if right[0] == word[0] and is_near(word, right))
    return next((right for right in likely if not _is_form(word, right)), None)


def _is_form(word: str, other: str) -> bool:
    return word.startswith(other) or other.startswith(word) or word[:-ENDING] == other[:-ENDING]


@cache
def _right() -> frozenset[str]:
    return KNOWN.words("products") | KNOWN.words("spelling")

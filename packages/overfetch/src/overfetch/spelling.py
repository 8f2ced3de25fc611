"""Names as people write them: without accents, run together, with a letter wrong."""

import unicodedata
from collections.abc import Iterator, Sequence

MISSPELT = range(5, 17)  # letters of a word that is also known with one of them wrong


def without_accents(text: str) -> str:
    """
    >>> without_accents("Moët, Bâton")
    'Moet, Baton'
    """
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def runs(words: Sequence[str], longest: int, shortest: int = 1) -> Iterator[Sequence[str]]:
    """Neighbours among the words, long runs first.

    >>> list(runs(["jp", "morgan", "chase"], 2))
    [['jp', 'morgan'], ['morgan', 'chase'], ['jp'], ['morgan'], ['chase']]
    """
    for length in range(min(longest, len(words)), shortest - 1, -1):
        yield from (words[start : start + length] for start in range(len(words) - length + 1))


def misspellings(word: str) -> list[str]:
    """The word, and without each of its letters in turn: two that differ by a letter share one of these.

    >>> {*misspellings("microsoft")} & {*misspellings("microsft")}
    {'microsft'}
    """
    if len(word) not in MISSPELT:
        return []
    return list(dict.fromkeys([word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]))

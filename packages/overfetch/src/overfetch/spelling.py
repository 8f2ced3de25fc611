"""Names as people write them: without accents, run together, with a letter wrong."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

MISSPELT = range(5, 17)  # letters of a word that is also known with one of them wrong
ALIKE, COMMON = range(4, 31), 0.77  # letters, and the share of them
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


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


def is_near(word: str, other: str) -> bool:
    """Whether two words of five letters and more differ by two that changed places; of six and more, also by one.

    >>> is_near("knigth", "knight"), is_near("temperence", "temperance"), is_near("stars", "stare")
    (True, True, False)
    """
    if min(len(word), len(other)) < MISSPELT.start:
        return False
    swapped, by_one = _apart(word, other)
    return swapped or (by_one and max(len(word), len(other)) > MISSPELT.start)


def is_alike(word: str, other: str) -> bool:
    """Whether they are near, or of four letters and more with the same first one: by a letter, the same ones in another
    order, or 77% in common.

    Too far to be found by, near enough not to say that there is no such word; counted by difflib (after Ratcliff and
    Metzener 1988). The shares were set by judged questions (`shared/evals/README.md`).

    >>> is_alike("grizify", "grizzifi"), is_alike("badgr", "badger"), is_alike("foobarswap", "steamswap")
    (True, True, False)
    >>> is_alike("htpx", "httpx"), is_alike("crad", "card"), is_alike("trino", "torch")
    (True, True, False)
    """
    if len(word) not in ALIKE or len(other) not in ALIKE or word[0] != other[0]:
        return is_near(word, other)
    if any(_apart(word, other)) or sorted(word) == sorted(other):
        return True
    return SequenceMatcher(None, word, other, autojunk=False).ratio() >= COMMON


def _apart(word: str, other: str) -> tuple[bool, bool]:
    """Whether they differ by two letters that changed places, by one that is another, too much or missing."""
    if abs(len(word) - len(other)) > 1:
        return False, False
    start = _shared(word, other)
    end = _shared(word[start:][::-1], other[start:][::-1])
    left, right = word[start : len(word) - end], other[start : len(other) - end]
    return len(left) == 2 and left == right[::-1], max(len(left), len(right)) <= 1


def _shared(one: str, other: str) -> int:
    """How many letters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def humps(name: str) -> str:
    """CamelCase in words.

    >>> humps("KyberSwap MIMSpell")
    'Kyber Swap MIM Spell'
    """
    return HUMP.sub(" ", name)

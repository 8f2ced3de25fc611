"""Names as they are asked for: without accents, signs, legal forms and kinds of share, whole, in parts and misspelt."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from paiddaily.vocabulary import words_beside_names

LONGEST_NAME = 200  # characters that are looked at
MOST_WORDS = 6  # of a name, and of what may be one in a question
SHORTEST_MISSPELT, LONGEST_MISSPELT = 5, 16  # letters of a name that is also found with one of them wrong
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
DOTS = re.compile(r"['’.](?:com\b)?", re.IGNORECASE)


def words_of(text: str) -> list[str]:
    """Words in small letters without accents; what dots and apostrophes part is one word.

    >>> words_of("Moët & Hennessy N.V."), words_of("McDonald's"), words_of("Amazon.com")
    (['moet', 'hennessy', 'nv'], ['mcdonalds'], ['amazon'])
    """
    decomposed = unicodedata.normalize("NFKD", text[:LONGEST_NAME])
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    return [w for w in re.findall(r"[^\W_]+", DOTS.sub("", plain)) if w not in ("and", "the")]


def named(text: str) -> list[str]:
    """The words of a name before legal form, kind of share and par value.

    >>> named("ROYAL DUTCH SHELL A EO-07"), named("AT&T Inc. Depositary Shares each representing 1/1000th")
    (['royal', 'dutch', 'shell'], ['at', 't'])
    """
    words = words_of(text)
    shares, endings = words_beside_names("shares"), words_beside_names("endings")
    cut = next((place for place, word in enumerate(words) if place and word in shares), len(words))
    words = words[:cut]
    while len(words) > 1 and (words[-1] in endings or words[-1].isdigit()):
        words.pop()
    return words


def keys_of(names: Iterable[str]) -> list[str]:
    """Under which keys a bearer of these names is found: `name:` whole, `part:` in part, `near:` with a letter wrong.

    >>> keys_of(["Kia Corp."])
    ['name:kia', 'part:kia']
    >>> "near:nintndo" in keys_of(["Nintendo Co., Ltd."]), "part:louisvuitton" in keys_of(["LVMH Louis Vuitton SE"])
    (True, True)
    """
    return list(dict.fromkeys(key for name in names for key in _keys(named(name))))


def _keys(words: list[str]) -> Iterator[str]:
    if not words:
        return
    bare = [word for word in words if word not in words_beside_names("generic")] or words
    for whole in ("".join(words), "".join(bare)):
        yield f"name:{whole}"
    for part in [words[0], *("".join(run) for run in runs(words[:MOST_WORDS]) if len(run) > 1)]:
        yield f"part:{part}"
    for word in (words[0], "".join(words)):
        yield from (f"near:{spelt}" for spelt in misspelt(word))


def runs(words: Sequence[str], longest: int = MOST_WORDS) -> Iterator[Sequence[str]]:
    """Neighbours among the words, long runs first."""
    for length in range(min(longest, len(words)), 0, -1):
        for start in range(len(words) - length + 1):
            yield words[start : start + length]


def misspelt(word: str) -> list[str]:
    """The word, and without each of its letters in turn: two that differ by a letter share one of these.

    >>> {*misspelt("microsoft")} & {*misspelt("microsft")}
    {'microsft'}
    """
    if not SHORTEST_MISSPELT <= len(word) <= LONGEST_MISSPELT:
        return []
    return list(dict.fromkeys([word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]))


def humps(name: str) -> str:
    """CamelCase in words.

    >>> humps("KyberSwap MIMSpell")
    'Kyber Swap MIM Spell'
    """
    return CAMEL.sub(" ", name[:LONGEST_NAME])

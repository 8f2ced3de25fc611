"""Names as they are asked for: without accents, signs, legal forms and kinds of share, whole, in parts and misspelt.

A record has keys, `name:kia`, and a question is looked up by the keys of what it may name.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from overfetch import AnyOf, DateRange, Focus, Vocabulary, absence, looked_up, misspellings, runs, without_accents

KNOWN = Vocabulary("paiddaily")
having = partial(looked_up, "keys")  # who has one of these keys
LOOKED_AT, LONGEST_NAME = 1_000, 200  # characters of a question, of a name
MOST_SAID, MOST_WORDS = 40, 6  # words of a question; of a name, and of what may be one in a question
POSSESSIVE = re.compile(r"['’]s\b")


def words_of(text: str) -> list[str]:
    """Words in small letters without accents; what dots and apostrophes part is one word.

    >>> words_of("Moët & Hennessy N.V."), words_of("McDonald's"), words_of("Amazon.com")
    (['moet', 'hennessy', 'nv'], ['mcdonalds'], ['amazon'])
    """
    plain = without_accents(text[:LONGEST_NAME]).casefold()
    return [w for w in re.findall(r"[^\W_]+", re.sub(r"['’.](?:com\b)?", "", plain)) if w not in ("and", "the")]


def named(text: str) -> list[str]:
    """The words of a name before legal form, kind of share and par value.

    >>> named("ROYAL DUTCH SHELL A EO-07"), named("AT&T Inc. Depositary Shares each representing 1/1000th")
    (['royal', 'dutch', 'shell'], ['at', 't'])
    """
    words, shares = words_of(re.sub(KNOWN.table("names.form"), "", text)), KNOWN.words("names.shares")
    words = words[: next((place for place, word in enumerate(words) if place and word in shares), len(words))]
    while len(words) > 1 and (words[-1] in KNOWN.words("names.endings") or words[-1].isdigit()):
        words.pop()
    return words


def bare_name(question: str) -> list[str]:
    """The words of a question that only asks for a name, without what stands beside one.

    >>> bare_name("who owns Louis Vuitton?"), bare_name("$gme stock")
    (['louis', 'vuitton'], ['gme'])
    """
    words = words_of(POSSESSIVE.sub("", question[:LOOKED_AT]))
    while len(words) > 1 and len(words[-1]) > 1 and words[-1] in KNOWN.words("names.endings"):
        words.pop()
    return [word for word in words if word not in KNOWN.words("names.beside")] or words


def keys_of(names: Iterable[str]) -> list[str]:
    """Under which keys a bearer of these names is found: `name:` whole, `part:` in part, `near:` with a letter wrong.

    >>> keys_of(["Kia Corp."])
    ['name:kia', 'part:kia']
    >>> "near:nintndo" in keys_of(["Nintendo Co., Ltd."]), "part:louisvuitton" in keys_of(["LVMH Louis Vuitton SE"])
    (True, True)
    """
    return list(dict.fromkeys(key for words in map(named, names) if words for key in _keys(words)))


def _keys(words: list[str]) -> Iterator[str]:
    yield from (f"name:{''.join(whole)}" for whole in (words, own_name(words)))
    yield from (f"part:{''.join(part)}" for part in (words[:1], *runs(words[:MOST_WORDS], MOST_WORDS, 2)))
    yield from (key for part in (words[:1], words) for key in near_keys(part))


def own_name(words: Sequence[str]) -> Sequence[str]:
    """Without those that many are called by, such as `group`."""
    return [word for word in words if word not in KNOWN.words("names.generic")] or words


def near_keys(words: Sequence[str]) -> list[str]:
    """Keys of the words as one, which may have a letter wrong."""
    return [f"near:{spelt}" for spelt in misspellings("".join(words))]


def run_keys(words: Sequence[str], kind: str = "name", shortest: int = 3) -> list[str]:
    """Keys of all neighbours among the words, each as one word."""
    beside = KNOWN.words("names.beside")
    joined = ("".join(run) for run in runs(words[:MOST_SAID], MOST_WORDS) if len(run) > 1 or run[0] not in beside)
    return [f"{kind}:{key}" for key in dict.fromkeys(joined) if len(key) >= shortest]


def called(word: str) -> AnyOf:
    """What has it as its name, or a part of it, or its symbol.

    >>> called("Ulvr").values
    ('name:ulvr', 'also:ulvr', 'part:ulvr', 'us:ULVR', 'symbol:ULVR')
    """
    keys = (*(f"{k}:{word.lower()}" for k in ("name", "also", "part")), f"us:{word.upper()}", f"symbol:{word.upper()}")
    return AnyOf(field="keys", values=keys)


def absent(missing: str, words: Sequence[str], keys: Iterable[str], *conditions: AnyOf | DateRange) -> Iterator[Focus]:
    """Foci by which it is known that something is not there: nobody has one of the keys, no text one of the words."""
    yield absence(missing, AnyOf(field="keys", values=tuple(dict.fromkeys(keys))), *conditions)
    yield absence(missing, *conditions, words=" ".join(own_name(words)))

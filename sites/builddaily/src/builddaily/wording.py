"""What developers say in their own words, in those that pages have for it."""

import re
from collections.abc import Iterable, Mapping
from functools import cache

from builddaily.identifiers import KNOWN, singular
from overfetch import is_near

MOST_FIELDS = 3
ENDING = 2  # letters
LISTED = re.compile(r"[a-z]{4,}")  # words of a pattern, or what they begin with
HUMP = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# "..., not the hosted one": both stages would find just that.
UNWANTED = re.compile(r"[,;]\s{0,3}(?:but )?not\b[^,;.:?!]{1,200}", re.IGNORECASE)
LEFT_OVER = 2  # words that a question keeps


def without_unwanted(question: str) -> tuple[str, list[str]]:
    """What is asked for, and what is left out: after a comma and `not`, or one of the known that are to be others.

    >>> without_unwanted("embedders other than Cohere in Haystack")
    ('embedders in Haystack', ['other than cohere'])
    """
    rest = UNWANTED.sub("", question)
    known = KNOWN.said("unwanted", rest.lower())
    if known:
        rest = re.sub(" {2,}", " ", KNOWN.without("unwanted", rest))
    if len(rest.split()) < LEFT_OVER:
        return question, []
    return rest.strip(), [*UNWANTED.findall(question), *(found[0] for found in known.values())]


def everyday(question: str, names: Iterable[str] = ()) -> Mapping[str, re.Match[str]]:
    """By the words that pages have for it what it says in its own: in none of the names, in no part of a compound.

    >>> list(everyday("unsafe-first-match and gpu_is_idle", ["gpu_is_idle"]))
    []
    """
    text = question.lower()
    for name in sorted(names, key=len, reverse=True):
        text = text.replace(name.lower(), "_")
    said = KNOWN.said("everyday", text)
    whole = {words: next(filter(_is_apart, match.re.finditer(text)), None) for words, match in said.items()}
    return {words: match for words, match in whole.items() if match}


def field_words(said: Mapping[str, re.Match[str]]) -> list[str]:
    """By what most of the question says first.

    >>> field_words(everyday("the model should answer word by word, openai is down again"))
    ['fallback', 'streaming']
    """
    return sorted(said, key=lambda words: said[words].start() - said[words].end())[:MOST_FIELDS]


def read_as_others(said: Mapping[str, re.Match[str]]) -> set[str]:
    """Its words that are everyday ones, for which pages have others.

    >>> sorted(read_as_others(everyday("remember kerberos between runs; the page is garbled")))
    ['between', 'garbled', 'remember']
    """
    listed = [(match[0].split(), tuple(LISTED.findall(match.re.pattern))) for match in said.values()]
    return {word for words, starts in listed for word in words if word.startswith(starts)}


def spelled(words: Iterable[str]) -> dict[str, str]:
    """Of words that the field writes otherwise by a letter, how it does.

    >>> spelled(["haystak", "wisper", "transcriber", "embeddings"])
    {'haystak': 'haystack', 'wisper': 'whisper'}
    """
    near = {word: _nearest(word) for word in words if singular(word) not in _right()}
    return {word: right for word, right in near.items() if right}


def respelled(name: str) -> str:
    """An identifier whose words are spelled as the field does.

    >>> respelled("HybridRetreiver"), respelled("UV_SYSTEM_PYHTON"), respelled("CrossEncoder")
    ('Hybridretriever', 'UV_SYSTEM_python', 'CrossEncoder')
    """
    right = spelled(map(str.lower, HUMP.findall(name)))
    return HUMP.sub(lambda hump: right.get(hump[0].lower(), hump[0]), name) if right else name


def _is_apart(match: re.Match[str]) -> bool:
    before, after = match.string[: match.start()], match.string[match.end() :]
    return not before.endswith("-") and not after.startswith("-")


def _nearest(word: str) -> str | None:
    """Another first letter is another word, and another ending (`trained`, `trainer`) no mistake."""
    likely = (right for right in sorted(_right()) if right[0] == word[0] and is_near(word, right))
    return next((right for right in likely if not _is_form(word, right)), None)


def _is_form(word: str, other: str) -> bool:
    if sorted(word) == sorted(other):  # letters that changed places
        return False
    return word.startswith(other) or other.startswith(word) or word[:-ENDING] == other[:-ENDING]


@cache
def _right() -> frozenset[str]:
    return KNOWN.words("products") | KNOWN.words("spelling")

"""What words mean to this site's users: one data file, read when it is first needed."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "vocabulary.toml"


@cache
def _read() -> Mapping[str, Any]:
    import tomllib

    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def vocabulary(table: str) -> Mapping[str, Any]:
    """One table of the vocabulary; its name may be dotted."""
    found: Mapping[str, Any] = _read()
    for name in table.split("."):
        found = found[name]
    return found


@cache
def words_beside_names(kind: str) -> frozenset[str]:
    """One list of words that stand in or beside names, such as legal forms."""
    return frozenset(vocabulary("names")[kind])


@cache
def every_word() -> frozenset[str]:
    """All words of the vocabulary, however it uses them."""
    return frozenset(re.findall(r"[a-z]{3,}", FILE.read_text(encoding="utf-8").lower()))


@cache
def _patterns(table: str) -> list[tuple[str, re.Pattern[str]]]:
    """Names with all their words as one pattern; a space stands for what may be between words."""
    return [
        (name, re.compile(r"(?<!\w)(?:" + "|".join(words).replace(" ", r"(?:[\s\-/]{1,3})") + r")(?!\w)"))
        for name, words in vocabulary(table).items()
    ]


def said(table: str, text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """Names of the table of which a word occurs in the text, in small letters, and where.

    >>> [name for name, _ in said("countries", "large german and japanese banks")]
    ['Germany', 'Japan']
    """
    for name, pattern in _patterns(table):
        if found := pattern.search(text):
            yield name, found

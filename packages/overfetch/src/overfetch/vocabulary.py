"""What words mean to a site's users: one data file of its package."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

LEFT_OVER = re.compile(r"(?:(?<!\w)(?:in|on|at|of|from|across|within|the)\s+)+$", re.IGNORECASE)
PREPOSITIONS = 30  # characters of them that are looked at
NEAR, SHORTEST_MISSPELT = 0.85, 6  # how alike a misspelt word and its right form are, of 1; letters of it


class Vocabulary:
    """`vocabulary.toml` of a package, read when it is first needed. Paths into it may be dotted: `names.endings`.

    `fold` makes of a listed word what is compared with others.
    """

    def __init__(self, package: str, fold: Callable[[str], Any] = str) -> None:
        self.package = package
        self.fold = fold
        self.words = cache(self._words)
        self.meanings = cache(self._meanings)
        self._patterns = cache(self._compiled)
        self._every = cache(lambda: frozenset(re.findall(r"[a-z]{3,}", _text(package).lower())))

    def table(self, path: str) -> Any:
        """A table or list as it is written."""
        found: Any = _read(self.package)
        for name in path.split("."):
            found = found[name]
        return found

    def _words(self, path: str) -> frozenset[Any]:
        """A list, folded."""
        return frozenset(map(self.fold, self.table(path)))

    def _meanings(self, path: str) -> Mapping[str, str]:
        """Of a table of lists: under which name each word is listed."""
        return {word: name for name, words in self.table(path).items() for word in words}

    def said(self, path: str, text: str) -> dict[str, re.Match[str]]:
        """Of a table of lists of patterns: the names of which one occurs in the text, in small letters, and where.

        A space stands for one to three spaces, hyphens or slashes, and a pattern for whole words.
        """
        found = ((name, pattern.search(text)) for name, pattern in self._patterns(path).items())
        return {name: match for name, match in found if match}

    def others(self, path: str, text: str) -> list[str]:
        """Where one of the names or more is said, all that are not."""
        said = self.said(path, text)
        return [name for name in self.table(path) if said and name not in said]

    def whole(self, path: str, text: str) -> dict[str, range]:
        """Where `said` finds what is not within something longer: of `bed bugs` not `bed`."""
        spans = {name: range(found.start(), found.end()) for name, found in self.said(path, text).items()}
        return {name: at for name, at in spans.items() if not any(_within(at, other) for other in spans.values())}

    def without(self, path: str, text: str) -> str:
        """The text without what `said` finds in it, and without the preposition before it."""
        lower = text.lower()
        if len(lower) != len(text):  # of some letters there are two then: places would not be the same
            return text
        for at in sorted(self.whole(path, lower).values(), key=lambda at: at.start, reverse=True):
            near = max(0, at.start - PREPOSITIONS)
            text = text[:near] + LEFT_OVER.sub("", text[near : at.start]) + text[at.stop :]
        return text

    def counted(self, path: str, text: str) -> Counter[str]:
        """How many of the names that `said` finds begin alike, up to a colon."""
        return Counter(name.partition(":")[0] for name in self.said(path, text))

    def instead(self, path: str, text: str) -> dict[str, str]:
        """Of those that `said` finds whole the text with each name in place of what was found."""
        return {name: f"{text[: at.start]}{name}{text[at.stop :]}" for name, at in self.whole(path, text).items()}

    def knows(self, word: str) -> bool:
        """Whether a word in small letters is written anywhere in the file, or near to one that is."""
        return word in self._every() or self.is_misspelt(word)

    def is_misspelt(self, word: str) -> bool:
        """Whether a word in small letters is near to one that is written anywhere in the file, and none of these."""
        known = len(word) < SHORTEST_MISSPELT or word in self._every()
        return not known and bool(get_close_matches(word, self._every(), n=1, cutoff=NEAR))

    def _compiled(self, path: str) -> Mapping[str, re.Pattern[str]]:
        return {
            name: re.compile(r"(?<!\w)(?:" + "|".join(words).replace(" ", r"(?:[\s\-/]{1,3})") + r")(?!\w)")
            for name, words in self.table(path).items()
        }


def _within(place: range, other: range) -> bool:
    return place != other and other.start <= place.start and place.stop <= other.stop


@cache
def _read(package: str) -> Mapping[str, Any]:
    import tomllib

    return tomllib.loads(_text(package))


def _text(package: str) -> str:
    return files(package).joinpath("vocabulary.toml").read_text(encoding="utf-8")

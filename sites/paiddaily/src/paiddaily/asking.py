"""What questions of both collections have in common: what is left when only a name is asked for, and runs of words."""

import re
from collections.abc import Iterable, Sequence

from overfetch import AnyOf
from paiddaily.names import misspelt, runs, words_of
from paiddaily.vocabulary import words_beside_names

LOOKED_AT = 1_000  # characters of a question
MOST_WORDS = 40
POSSESSIVE = re.compile(r"['’]s\b")


def bare_name(question: str) -> list[str]:
    """The words of a question that only asks for a name, without what stands beside one.

    >>> bare_name("who owns Louis Vuitton?"), bare_name("$gme stock")
    (['louis', 'vuitton'], ['gme'])
    """
    words = words_of(POSSESSIVE.sub("", question[:LOOKED_AT]))
    endings = words_beside_names("endings")
    while len(words) > 1 and len(words[-1]) > 1 and words[-1] in endings:
        words.pop()
    return [word for word in words if word not in words_beside_names("beside")] or words


def among_keys(*keys: str | Iterable[str]) -> AnyOf:
    """Who has one of these keys."""
    every = [key for one in keys for key in ([one] if isinstance(one, str) else one)]
    return AnyOf(field="keys", values=tuple(dict.fromkeys(every)))


def near_keys(words: Sequence[str]) -> list[str]:
    """Keys of what is written with a letter wrong, as one word."""
    return [f"near:{spelt}" for spelt in misspelt("".join(words))]


def run_keys(words: Sequence[str], kind: str = "name", shortest: int = 3) -> list[str]:
    """Keys of all neighbours among the words, each as one word."""
    joined = (
        "".join(run) for run in runs(words[:MOST_WORDS]) if len(run) > 1 or run[0] not in words_beside_names("beside")
    )
    return [f"{kind}:{key}" for key in dict.fromkeys(joined) if len(key) >= shortest]

"""An order in words, read: numbers of a list, repaired where some are missing, twice or made up."""

import re

from overfetch import AnswerError, redacted

BRACKETED = re.compile(r"\[([^\[\]]*)\]")
NUMBER = re.compile(r"-?\d+")
NUMBERS_ALONE = re.compile(r"[\d\s>,;.]+")
SHOWN_CHARACTERS = 200


def permutation(reply: str, size: int) -> tuple[list[int], int]:
    """Places from 0, best first, and how many numbers were missing, twice or made up.

    What is missing comes after all else, in the order in which it stood. Raises AnswerError where none is named.

    >>> permutation("[3] > [1] > [1]", 3)
    ([2, 0, 1], 2)
    """
    known = {str(place + 1): place for place in range(size)}
    named = numbers_in(reply)
    found = list(dict.fromkeys(known[name] for name in named if name in known))
    if not found:
        shown = " ".join(redacted(reply).split())[:SHOWN_CHARACTERS]
        raise AnswerError(f"the language model gave no list of the passages: {shown!r}; try a more capable model")
    missing = [place for place in range(size) if place not in found]
    return [*found, *missing], len(named) - len(found) + len(missing)


def numbers_in(reply: str) -> list[str]:
    """Those in brackets; of a reply that is nothing but numbers, all.

    >>> numbers_in("Of 20: [2] > [1, 3]"), numbers_in("2 > 1, 3")
    (['2', '1', '3'], ['2', '1', '3'])
    """
    bracketed = [name for within in BRACKETED.findall(reply) for name in NUMBER.findall(within)]
    return bracketed or (NUMBER.findall(reply) if NUMBERS_ALONE.fullmatch(reply) else [])

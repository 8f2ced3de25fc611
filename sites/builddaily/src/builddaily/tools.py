"""The tools that a question names, as one word or several."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice

from builddaily.identifiers import KNOWN, key, squash
from overfetch import AnyOf

MOST_WORDS = 60  # of a question
WORD = re.compile(r"[^\W_]+(?:[+#]+|(?:\.\d+)+)?")


def words_in(text: str) -> list[str]:
    """Words, parts of identifiers and versions, as they are compared."""
    return [squash(found[0]) for found in islice(WORD.finditer(text), MOST_WORDS)]


def tools_in(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tools as they are written, of up to three words, and the other words.

    >>> tools_in(words_in("pydantic_ai or pydantic with a sentence-transformers model"))
    (['pydantic-ai', 'pydantic', 'sentence-transformers'], ['or', 'with', 'a', 'model'])
    """
    tools, others = dict[str, None](), list[str]()
    while words:
        run = next((length for length in (3, 2, 1) if "".join(words[:length]) in _called()), 0)
        if run:
            tools[_called()["".join(words[:run])]] = None
        others += [] if run else words[:1]
        words = words[run or 1 :]
    return list(tools), others


def of_tools(tools: Sequence[str]) -> tuple[AnyOf, ...]:
    """What pages of one of them meet."""
    return (AnyOf(field="product", values=tuple(map(key, tools))),) if tools else ()


@cache
def product_names() -> Mapping[str, str]:
    """As they are compared, and as they are written."""
    return {squash(name): name for name in KNOWN.table("products")}


@cache
def _called() -> Mapping[str, str]:
    """Products, also as they are called otherwise."""
    return {**{squash(name): name for names in KNOWN.table("aliases").values() for name in names}, **product_names()}

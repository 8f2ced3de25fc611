"""Indexes and tables of contents: they have all words of a book, and say nothing."""

import re
from collections.abc import Iterable, Iterator

PAGE = re.compile(r", \d{1,3}\b(?! ?(?:years|days|hours|miles|degrees))")
SECTION = re.compile(r"§ ?\d+")
JOINED = re.compile(r"\w[.!?_”\"]?—_?\w")  # headings in a row, as books of old have them above a chapter
LEAST_PAGES, WORDS_A_PAGE = 8, 12
LEAST_SECTIONS, LEAST_JOINED = 4, 8


def without_back_matter(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a book that are neither of its index nor of a table of contents.

    >>> index = " ".join(f"Mercury, {page}; metals, {page + 1};" for page in range(10, 20))
    >>> list(without_back_matter(["Mercury is a metal, and a planet.", index]))
    ['Mercury is a metal, and a planet.']
    """
    return (piece for piece in pieces if not (_is_index(piece) or _is_contents(piece)))


def _is_index(text: str) -> bool:
    return len(PAGE.findall(text)) >= max(LEAST_PAGES, len(text.split()) / WORDS_A_PAGE)


def _is_contents(text: str) -> bool:
    joined = len(JOINED.findall(text))
    return len(SECTION.findall(text)) >= LEAST_SECTIONS or (joined >= LEAST_JOINED and text.count(". ") < joined / 2)

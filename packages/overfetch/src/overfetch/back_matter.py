"""Indexes and tables of contents of books: they have all its words, and say nothing by them."""

import re
from collections.abc import Iterable, Iterator

PAGE = re.compile(r", \d{1,3}(?:-\d{1,3})?(?=;|[.,]?\s?(?:$|[A-Z_\d“]))")  # before the next page or the next entry
SECTION = re.compile(r"§ ?\d+\.? [^§.]{3,90} \d{1,3}(?= |$)")  # with its page
HEADING = re.compile(r"\w[.!?_”\"]?—_?[A-Z]")  # in a row, as books of old have them above a chapter
LEAST_PAGES, WORDS_A_PAGE = 8, 12
LEAST_SECTIONS, LEAST_HEADINGS = 4, 8


def without_back_matter(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a book that are neither of its index nor of a table of contents.

    >>> index = " ".join(f"{name}, {page}, {page + 9};" for page, name in enumerate(("Ant", "Bee", "Cat", "Dog")))
    >>> list(without_back_matter(["A bee, and a cat.", index]))
    ['A bee, and a cat.']
    """
    return (piece for piece in pieces if not (_is_index(piece) or _is_contents(piece)))


def _is_index(text: str) -> bool:
    return len(PAGE.findall(text)) >= max(LEAST_PAGES, len(text.split()) / WORDS_A_PAGE)


def _is_contents(text: str) -> bool:
    headings = len(HEADING.findall(text))
    return len(SECTION.findall(text)) >= LEAST_SECTIONS or (
        headings >= LEAST_HEADINGS and text.count(". ") < headings / 2
    )

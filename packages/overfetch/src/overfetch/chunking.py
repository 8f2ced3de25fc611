"""Building blocks for a site's chunker: pure functions from document to chunks."""

import re
from collections.abc import Iterable, Iterator

from overfetch.headings import Heading, headings
from overfetch.types import Chunk, Document

BREADCRUMB_SEPARATOR = " > "


def split_at_headings(markdown: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """(heading path, text below it) for every section; a heading with nothing below it is text of its own.

    Fenced code is never split at a `#`.

    >>> list(split_at_headings("intro\\n\\n# A\\none\\n## B\\ntwo"))
    [((), 'intro'), (('A',), 'one'), (('A', 'B'), 'two')]
    """
    # The parser's notion of a line: splitlines() would also cut at form feeds and Unicode separators.
    lines = re.split(r"\r\n?|\n", markdown)
    path: list[tuple[int, str]] = []
    start = 0
    for first, after, level, heading, _ in [*headings(markdown), Heading(len(lines), len(lines), 0, "", "")]:
        if text := "\n".join(lines[start:first]).strip():
            yield tuple(name for _, name in path), text
        elif path and path[-1][1] and level <= path[-1][0]:
            yield tuple(name for _, name in path[:-1]), path[-1][1]
        path = [*(entry for entry in path if entry[0] < level), (level, heading)]
        start = after


def split_by_words(text: str, max_words: int) -> list[str]:
    """Pieces of at most `max_words` words, cut between paragraphs, then lines, then sentences, then words.

    A word is what stands between white space, however long it is.

    >>> split_by_words("one two\\n\\nthree four\\n\\nfive", 4)
    ['one two\\n\\nthree four', 'five']
    """
    return _pack(text, max_words, ("\n\n", "\n", ". ", " "))


def _pack(text: str, max_words: int, separators: tuple[str, ...]) -> list[str]:
    text = text.strip()
    if len(text.split()) <= max_words or not separators:
        return [text] if text else []
    separator, finer = separators[0], separators[1:]
    packed: list[str] = []
    for piece in _split_keeping_stops(text, separator):
        joined = f"{packed[-1]}{separator}{piece}" if packed and separator != ". " else " ".join([*packed[-1:], piece])
        if packed and len(joined.split()) <= max_words:
            packed[-1] = joined
        else:
            packed += _pack(piece, max_words, finer)
    return packed


def _split_keeping_stops(text: str, separator: str) -> list[str]:
    if separator == ". ":
        return re.split(r"(?<=[.!?]) +", text)
    pieces = text.split() if separator == " " else text.split(separator)
    return [piece for piece in pieces if piece.strip()]


def chunk_by_headings(document: Document, max_words: int) -> Iterator[Chunk]:
    """Sections under a breadcrumb of title and headings, long ones in pieces."""
    for path, text in split_at_headings(document.text):
        names = [document.title, *(name for name in path if name != document.title)]
        for piece in split_by_words(text, max_words):
            yield Chunk(breadcrumb=BREADCRUMB_SEPARATOR.join(names), text=piece)


def require_chunks(document: Document, chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks; a document without any text becomes one chunk of its title, so that it can be found."""
    return list(chunks) or [Chunk(breadcrumb="", text=document.title)]

"""Building blocks for a site's chunker: pure functions from document to chunks."""

import re
from collections.abc import Iterable, Iterator

from overfetch.errors import CorpusError
from overfetch.headings import Heading, headings
from overfetch.pieces import Size, count_words, split_by_words, trimmed
from overfetch.settings import shortened
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
    for first, after, level, heading in [*headings(markdown), Heading(len(lines), len(lines), 0, "")]:
        if text := trimmed("\n".join(lines[start:first])):
            yield tuple(name for _, name in path if name), text
        elif path and path[-1][1] and level <= path[-1][0]:
            yield tuple(name for _, name in path[:-1] if name), path[-1][1]
        path = [*(entry for entry in path if entry[0] < level), (level, heading)]
        start = after


def chunk_by_headings(document: Document, max_words: int, size: Size = count_words) -> Iterator[Chunk]:
    """Sections under a breadcrumb of title and headings, long ones in pieces of at most `max_words` words, or of what
    else `size` counts, such as `overfetch.token_counter`.
    """
    for path, text in split_at_headings(document.text):
        names = [document.title, *(name for name in path if name != document.title)]
        for piece in split_by_words(text, max_words, size):
            yield Chunk(breadcrumb=BREADCRUMB_SEPARATOR.join(names), text=piece)


def require_chunks(document: Document, chunks: Iterable[Chunk]) -> list[Chunk]:
    """Those with something to read; a document without any text becomes one chunk of its title, so that it is found.

    Raises CorpusError where a text has become no chunk, or one with nothing to read: it would be lost unseen.
    """
    made, of = list(chunks), f"document {document.id!r}: its chunker"
    for chunk in made:
        if not isinstance(chunk, Chunk):
            raise CorpusError(f"{of} gave {shortened(chunk)}, expected a Chunk")
    read = [chunk for chunk in made if chunk.text.strip() or chunk.breadcrumb.strip()]
    if document.text.strip() and not read:
        raise CorpusError(f"{of} made no chunk of {shortened(document.text)}")
    if document.text.strip() and len(read) < len(made):
        raise CorpusError(f"{of} made a chunk with neither text nor breadcrumb")
    return read or [Chunk(breadcrumb="", text=document.title)]

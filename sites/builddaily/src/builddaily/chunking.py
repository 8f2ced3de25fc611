"""A page becomes its sections, each under a breadcrumb of title and headings."""

from collections.abc import Iterator

from overfetch import Chunk, Document, chunk_by_headings

MAX_WORDS = 140
CHUNKER = f"builddaily-page/2/words={MAX_WORDS}"


def chunk_page(page: Document) -> Iterator[Chunk]:
    """Sections of at most MAX_WORDS words; the summary, where there is one, opens the page.

    >>> page = Document(id="sage", title="Sage", text="## Gotchas\\nMind the name.", metadata={"summary": "A bridge."})
    >>> [(chunk.breadcrumb, chunk.text) for chunk in chunk_page(page)]
    [('Sage', 'A bridge.'), ('Sage > Gotchas', 'Mind the name.')]
    """
    if summary := page.metadata.get("summary"):
        yield Chunk(breadcrumb=page.title, text=str(summary))
    yield from chunk_by_headings(page, MAX_WORDS)

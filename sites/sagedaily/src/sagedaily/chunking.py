"""A canon entry is one passage, or a few where it is long."""

from collections.abc import Iterator

from overfetch import Chunk, Document, Record, split_text

MAX_WORDS = 140
CHUNKER = f"sagedaily-entry/2/words={MAX_WORDS}"
# Entries without an orientation speak of both, so they stay in every draw.
NO_ORIENTATION = "any"


def adapt_entry(record: Record) -> Record:
    return {**record, "orientation": record.get("orientation") or NO_ORIENTATION}


def chunk_entry(entry: Document) -> Iterator[Chunk]:
    """Pieces under `TITLE > work`.

    >>> entry = Document(id="t", title="The Tower", text="It falls.", metadata={"work": "Lantern Notes"})
    >>> [(chunk.breadcrumb, chunk.text) for chunk in chunk_entry(entry)]
    [('The Tower > Lantern Notes', 'It falls.')]
    """
    breadcrumb = " > ".join(str(part) for part in (entry.title, entry.metadata.get("work")) if part)
    for piece in split_text(entry.text, MAX_WORDS):
        yield Chunk(breadcrumb=breadcrumb, text=piece)

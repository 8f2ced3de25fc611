"""A canon entry is one passage, or a few where it is long; a draw is a subject with an orientation."""

from collections.abc import Iterator

from overfetch import AnyOf, Chunk, Document, Part, Record, split_by_words

MAX_WORDS = 140
CHUNKER = f"sagedaily-entry/2/words={MAX_WORDS}"
ORIENTATIONS = ("upright", "reversed", "direct", "retrograde")
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
    for piece in split_by_words(entry.text, MAX_WORDS):
        yield Chunk(breadcrumb=breadcrumb, text=piece)


def parse_draw(text: str) -> Part:
    """`The Tower, reversed` becomes the subject and a filter on its orientation.

    >>> parse_draw("The Tower, reversed").conditions
    (AnyOf(field='orientation', values=('reversed', 'any')),)
    >>> parse_draw("Saturn square Moon").conditions
    ()
    """
    subject, _, orientation = (part.strip() for part in text.rpartition(","))
    if not subject or orientation.lower() not in ORIENTATIONS:
        return Part(query=text.strip())
    accepted = AnyOf(field="orientation", values=(orientation.lower(), NO_ORIENTATION))
    return Part(query=f"{subject}, {orientation.lower()}", conditions=(accepted,))

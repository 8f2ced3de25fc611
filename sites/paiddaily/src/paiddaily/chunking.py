"""A ticker becomes its sections; a catalyst becomes the event as it stood, and apart from it the outcome."""

from collections.abc import Iterator

from overfetch import Chunk, Document, Record, chunk_by_headings, split_text

MAX_WORDS = 140
TICKER_CHUNKER = f"paiddaily-ticker/2/words={MAX_WORDS}"
CATALYST_CHUNKER = f"paiddaily-catalyst/3/words={MAX_WORDS}"


def adapt_ticker(record: Record) -> Record:
    """Sections, or else a summary, become Markdown; a record without an asset class is told by its sector.

    >>> adapt_ticker({"symbol": "APC.HM", "name": "Apple", "sector": "Technology", "summary": "Makes phones."})["text"]
    'Makes phones.'
    """
    sections = record.get("sections") or []
    text = "\n\n".join(f"## {s['heading']}\n{s['text']}" for s in sections) or record.get("summary", "")
    symbol = record.get("us_symbol") or record.get("symbol", "")
    name = record.get("name", "")
    asset_class = record.get("asset_class") or ("equity" if record.get("sector") else "crypto")
    return {**record, "text": text, "title": f"{name} ({symbol})", "asset_class": asset_class}


def chunk_ticker(ticker: Document) -> Iterator[Chunk]:
    """Sections under `NAME (SYMBOL) > sector > heading`."""
    sector = ticker.metadata.get("sector")
    for chunk in chunk_by_headings(ticker, MAX_WORDS):
        title, _, heading = chunk.breadcrumb.partition(" > ")
        names = [title, str(sector or ""), heading]
        yield Chunk(breadcrumb=" > ".join(name for name in names if name), text=chunk.text)


def adapt_catalyst(record: Record) -> Record:
    """The market shape, where a record has one, becomes part of what is read."""
    shape = record.get("market_shape")
    text = str(record.get("text", ""))
    return {**record, "text": f"{text}\n\nMarket shape: {shape}" if shape else text}


def chunk_catalyst(event: Document) -> Iterator[Chunk]:
    """The event, known at the end of its day; its outcome known at `outcome_date`, and without one under no `as_of`.

    >>> metadata = {"date": "2025-01-01", "outcome": "Sold."}
    >>> event = Document(id="e", title="Listing", text="Pair opens.", metadata=metadata)
    >>> [(chunk.text, chunk.metadata.get("known_at")) for chunk in chunk_catalyst(event)]
    [('Pair opens.', '2025-01-01T23:59:59+00:00'), ('Sold.', None)]
    """
    happened = str(event.metadata["date"])
    hidden = {"outcome": None, "outcome_date": None}
    breadcrumb = f"{event.title} ({happened})"
    for piece in split_text(event.text, MAX_WORDS):
        yield Chunk(breadcrumb=breadcrumb, text=piece, metadata={**hidden, "known_at": _end_of_day(happened)})
    if outcome := event.metadata.get("outcome"):
        known_at = event.metadata.get("outcome_date")
        dated = {"known_at": _end_of_day(str(known_at))} if known_at else {}
        yield Chunk(breadcrumb=f"{breadcrumb} > Outcome", text=str(outcome), metadata={**hidden, **dated})


def _end_of_day(moment: str) -> str:
    """A bare date is only known to have happened when the day is over."""
    return f"{moment}T23:59:59+00:00" if len(moment) == len("2025-01-31") else moment

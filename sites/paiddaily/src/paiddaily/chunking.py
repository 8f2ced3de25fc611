"""A ticker becomes its sections; a catalyst becomes the event as it stood, and apart from it the outcome."""

from collections.abc import Iterator
from datetime import date, timedelta

from overfetch import Chunk, Document, Record, chunk_by_headings, parse_date, split_by_words

MAX_WORDS = 140
OUTCOME_DAYS = 30
TICKER_CHUNKER = f"paiddaily-ticker/1/words={MAX_WORDS}"
CATALYST_CHUNKER = f"paiddaily-catalyst/1/words={MAX_WORDS}/outcome_days={OUTCOME_DAYS}"


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
    """The event dated as it happened; its outcome dated when it was known, so that `as_of` hides it till then.

    >>> metadata = {"date": "2025-01-01", "outcome": "Sold."}
    >>> event = Document(id="e", title="Listing", text="Pair opens.", metadata=metadata)
    >>> [(chunk.text, chunk.metadata["known_at"]) for chunk in chunk_catalyst(event)]
    [('Pair opens.', '2025-01-01'), ('Sold.', '2025-01-31')]
    """
    happened = str(event.metadata["date"])
    hidden = {"outcome": None, "outcome_date": None}
    breadcrumb = f"{event.title} ({happened})"
    for piece in split_by_words(event.text, MAX_WORDS):
        yield Chunk(breadcrumb=breadcrumb, text=piece, metadata={**hidden, "known_at": happened})
    if outcome := event.metadata.get("outcome"):
        known_at = str(event.metadata.get("outcome_date") or _later(happened))
        yield Chunk(breadcrumb=f"{breadcrumb} > Outcome", text=str(outcome), metadata={**hidden, "known_at": known_at})


def _later(happened: str) -> str:
    day: date = parse_date(happened).date() + timedelta(days=OUTCOME_DAYS)
    return day.isoformat()

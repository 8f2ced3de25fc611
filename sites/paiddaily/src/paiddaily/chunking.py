"""A ticker becomes its sections; a catalyst the event as it stood, and apart from it what became known later."""

from collections.abc import Iterator, Sequence
from typing import Any

from overfetch import Chunk, Document, Record, split_at_headings, split_text, token_counter
from paiddaily.records import company_of, event_keys, features_of, is_common, loss_of, markets_of, ticker_keys

MAX_WORDS = 140
MAX_TOKENS = 254  # what the embedder reads of a passage, without its own two
EMBEDDER = "all-minilm-l6-v2"
MAX_BREADCRUMB = 90
TICKER_CHUNKER = f"paiddaily-ticker/3/tokens={MAX_TOKENS}"
CATALYST_CHUNKER = f"paiddaily-catalyst/4/tokens={MAX_TOKENS}"

LATER_TEXTS = ("protocol-proposal", "protocol-upgrade")
LEFT_OUT = ("Abstract", "Test Cases", "Test Vectors", "Implementation", "Implementations", "References", "Copyright")
TICKER_LOOKUPS = ("share", "markets", "kinds", "keys")
EVENT_LOOKUPS = ("keys", "loss_amount", "loss_unit", "techniques", "chains", "shape", "active")
UNSURE_DATE = "first date in text"


def adapt_ticker(record: Record) -> Record:
    """Sections, or else a summary, become Markdown, with fields that questions are matched with.

    A record without asset class and exchange is a coin, `coin:SYMBOL`: shares may have the same symbol.

    >>> apple = adapt_ticker({"symbol": "APC.HM", "us_symbol": "AAPL", "name": "Apple Inc.", "sector": "Technology"})
    >>> apple["title"], apple["company"], apple["keys"][:3]
    ('Apple Inc. (AAPL)', 'apple', ['us:AAPL', 'symbol:AAPL', 'symbol:APC'])
    >>> adapt_ticker({"_id": "AE", "symbol": "AE", "name": "Aeternity"})["_id"]
    'coin:AE'
    """
    sections = record.get("sections") or []
    text = "\n\n".join(f"## {s['heading']}\n{s['text']}" for s in sections) or record.get("summary", "")
    symbol = record.get("us_symbol") or record.get("symbol", "")
    coin = not (record.get("asset_class") or record.get("sector") or "exchange" in record)
    kinds = [record.get(name) for name in ("sector", "industry_group", "industry")]
    return {
        **record,
        **({"_id": f"coin:{record.get('_id') or symbol}"} if coin else {}),
        "text": text,
        "title": f"{record.get('name', '')} ({symbol})",
        "asset_class": record.get("asset_class") or ("crypto" if coin else "equity"),
        "keys": ticker_keys(record),
        "company": None if coin else company_of(record),
        "kinds": list(dict.fromkeys(filter(None, kinds))),
        "size": record.get("market_cap"),
        "share": "common" if is_common(record) else "other",
        "markets": markets_of(record),
    }


def chunk_ticker(ticker: Document, tokens: int = MAX_TOKENS) -> Iterator[Chunk]:
    """Sections under `NAME (SYMBOL) > country > industry > size > heading`."""
    industry = "industry" if ticker.metadata.get("industry") else "sector"
    told = [ticker.metadata.get(name) for name in ("country", industry, "size")]
    names = [ticker.title, *(str(value) for value in told if value)]
    shown, lookups = _apart(ticker, TICKER_LOOKUPS)
    for breadcrumb, text in _pieces(names, ticker.text, tokens):
        yield Chunk(breadcrumb=breadcrumb, text=text, metadata=shown, lookups=lookups)


def adapt_catalyst(record: Record) -> Record:
    """The market's shape becomes part of what is read; loss, chain, technique and shape become fields.

    >>> hack = adapt_catalyst({"entity": "KyberSwap", "technique": "Price Manipulation", "loss": "~17 WBNB"})
    >>> hack["loss_amount"], hack["loss_unit"], hack["techniques"], hack["keys"][:2]
    (17.0, ['bnb'], ['price-manipulation'], ['name:kyberswap', 'part:kyberswap'])
    """
    shape, text = record.get("market_shape"), str(record.get("text", ""))
    loss = loss_of(str(record.get("loss") or ""))
    incident = record.get("type") == "security-incident"
    attack = [str(record.get(name) or "") for name in ("technique", "entity")]
    return {
        **record,
        "text": f"{text}\n\nMarket shape: {shape}" if shape else _with_sections(record),
        "keys": event_keys(record),
        "loss_amount": loss[0] if loss else None,
        "loss_unit": loss[1] if loss else ["unknown"] if incident else None,
        "techniques": features_of("techniques", *attack),
        "chains": features_of("chains", text, *map(str, record.get("links") or ())) if incident else None,
        "active": (record.get("activation") or {}).get("Mainnet"),
        "shape": features_of("shape", str(shape)) if shape else None,
    }


def _with_sections(record: Record) -> str:
    """A proposal's text ends early: what its sections say beyond it."""
    text, sections = str(record.get("text", "")), record.get("sections")
    if not isinstance(sections, dict):
        return text
    told = [f"## {name}\n{section}" for name, section in sections.items() if name not in LEFT_OUT]
    return "\n\n".join([text, *told])


def chunk_catalyst(event: Document, tokens: int = MAX_TOKENS) -> Iterator[Chunk]:
    """The event, known at the end of its day; its outcome known at `outcome_date`, and without one under no `as_of`.

    Nor is known when what may be a period's end, or a text's later version: of a proposal that day knew the title.

    >>> metadata = {"date": "2025-01-01", "outcome": "Sold."}
    >>> event = Document(id="e", title="Listing", text="Pair opens.", metadata=metadata)
    >>> [(chunk.text, chunk.metadata.get("known_at")) for chunk in chunk_catalyst(event)]
    [('Pair opens.', '2025-01-01T23:59:59+00:00'), ('Sold.', None)]
    """
    happened = str(event.metadata["date"])
    apart, lookups = _apart(event, EVENT_LOOKUPS)
    hidden = {**apart, "outcome": None, "outcome_date": None, "date_source": None}
    that_day = {**hidden, "known_at": _end_of_day(happened)}
    name = f"{event.title} ({happened})"
    if event.metadata.get("type") in LATER_TEXTS:
        title = {**that_day, "status": None}
        yield Chunk(breadcrumb="", text=name, metadata=title, lookups={"keys": lookups.get("keys")})
        that_day = hidden
    if event.metadata.get("date_source") == UNSURE_DATE:
        that_day = hidden
    for breadcrumb, text in _pieces([name], event.text, tokens):
        yield Chunk(breadcrumb=breadcrumb, text=text, metadata=that_day, lookups=lookups)
    if outcome := event.metadata.get("outcome"):
        known_at = event.metadata.get("outcome_date")
        later = {**hidden, **({"known_at": _end_of_day(str(known_at))} if known_at else {})}
        lookups = {**lookups, "shape": None}
        for breadcrumb, text in _pieces([name, "Outcome"], str(outcome), tokens):
            yield Chunk(breadcrumb=breadcrumb, text=text, metadata=later, lookups=lookups)


def _apart(document: Document, names: Sequence[str]) -> tuple[dict[str, str | None], dict[str, Any]]:
    """What questions are matched with is not shown."""
    return {**dict.fromkeys(names)}, {name: document.metadata.get(name) for name in names}


def _pieces(names: Sequence[str], text: str, tokens: int) -> Iterator[tuple[str, str]]:
    """Breadcrumb and text of every piece; both together are all read by the embedder."""
    for path, below in split_at_headings(text):
        breadcrumb = split_text(" > ".join([*names, *path]), MAX_BREADCRUMB, token_counter(EMBEDDER))[0]
        room = max(tokens // 3, tokens - token_counter(EMBEDDER)(breadcrumb))
        for piece in split_text(below, room, _size):
            yield breadcrumb, piece


def _size(text: str) -> int:
    return max(token_counter(EMBEDDER)(text), len(text.split()) * MAX_TOKENS // MAX_WORDS)


def _end_of_day(moment: str) -> str:
    """A bare date is only known to have happened when the day is over."""
    return f"{moment}T23:59:59+00:00" if len(moment) == len("2025-01-31") else moment

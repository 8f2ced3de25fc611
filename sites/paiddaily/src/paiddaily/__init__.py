"""paiddaily: tickers with their set-ups, and an archive of dated catalysts."""

from pathlib import Path

from overfetch import Bm25, Collection, FieldMap, RetrievalSettings, Site
from paiddaily.catalysts import understand_catalysts
from paiddaily.chunking import (
    CATALYST_CHUNKER,
    TICKER_CHUNKER,
    adapt_catalyst,
    adapt_ticker,
    chunk_catalyst,
    chunk_ticker,
)
from paiddaily.tickers import understand_tickers

SAMPLES = Path(__file__).parent / "samples"
JUDGED = Path(__file__).parent / "judged"

TICKER_KEYWORDS = (
    *("symbol", "sector", "industry", "asset_class", "country"),
    *("size", "share", "markets", "kinds", "company", "keys"),  # made for questions: see chunking.py
)
TICKER_DATES = ("next_earnings", "updated")
EVENT_KEYWORDS = (
    *("entity", "symbol", "type", "asset_class", "sector", "status"),
    *("keys", "loss_unit", "techniques", "chains", "shape"),
)

TICKERS = Collection(
    name="tickers",
    sample=SAMPLES / "tickers.jsonl",
    judged=JUDGED / "tickers",
    fields=FieldMap(
        id=("_id", "symbol"),
        title=("title", "name"),
        metadata={name: (name,) for name in (*TICKER_KEYWORDS, *TICKER_DATES, "sample")}
        | {"symbol": ("us_symbol", "symbol")},
    ),
    adapt=adapt_ticker,
    chunk=chunk_ticker,
    chunker=TICKER_CHUNKER,
    filters={**dict.fromkeys(TICKER_KEYWORDS, "keyword"), **dict.fromkeys(TICKER_DATES, "date")},
    known_at="updated",
    understand=understand_tickers,
    answering="paiddaily.answering:answer_tickers",
    # One row a company: its best section speaks for it, and one of its listings for the others.
    retrieval=RetrievalSettings(top_k=20, top_n=5, one_per_document=True, one_per="company"),
)
CATALYSTS = Collection(
    name="catalysts",
    sample=SAMPLES / "catalysts.jsonl",
    judged=JUDGED / "catalysts",
    fields=FieldMap(
        metadata={
            name: (name,)
            for name in (
                *EVENT_KEYWORDS,
                "date",
                "active",
                "loss_amount",
                "date_source",
                "outcome",
                "outcome_date",
                "sample",
            )
        },
        required=("date",),
    ),
    adapt=adapt_catalyst,
    chunk=chunk_catalyst,
    chunker=CATALYST_CHUNKER,
    filters={
        **dict.fromkeys(EVENT_KEYWORDS, "keyword"),
        **dict.fromkeys(("date", "known_at", "active"), "date"),
        "loss_amount": "number",
    },
    date="date",
    # `as_of` bounds what was known, not when the event was: outcomes became known later.
    known_at="known_at",
    understand=understand_catalysts,
    answering="paiddaily.answering:answer_catalysts",
    bm25=Bm25(average_length=63.1, fitted_on="catalysts-real/dev, 88 queries; corpus 7745d8b0e898"),
    retrieval=RetrievalSettings(top_k=20, top_n=5, one_per_document=True),
)

SITE = Site(name="paiddaily", title="Paid Daily", collections=(TICKERS, CATALYSTS), ask="tickers")

__all__ = ["SITE"]

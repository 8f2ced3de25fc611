"""paiddaily: tickers with their set-ups, and an archive of dated catalysts."""

from pathlib import Path

from overfetch import Collection, FieldMap, RetrievalSettings, Site
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

TICKERS = Collection(
    name="tickers",
    sample=SAMPLES / "tickers.jsonl",
    judged=JUDGED / "tickers",
    fields=FieldMap(
        id=("_id", "symbol"),
        title=("title", "name"),
        metadata={
            "symbol": ("us_symbol", "symbol"),
            "sector": ("sector",),
            "industry": ("industry",),
            "asset_class": ("asset_class",),
            "country": ("country",),
            "size": ("size",),
            "share": ("share",),
            "markets": ("markets",),
            "kinds": ("kinds",),
            "company": ("company",),
            "keys": ("keys",),
            "next_earnings": ("next_earnings",),
            "updated": ("updated",),
            "sample": ("sample",),
        },
    ),
    adapt=adapt_ticker,
    chunk=chunk_ticker,
    chunker=TICKER_CHUNKER,
    filters={
        "symbol": "keyword",
        "sector": "keyword",
        "industry": "keyword",
        "asset_class": "keyword",
        "country": "keyword",
        "size": "keyword",
        "share": "keyword",
        "markets": "keyword",
        "kinds": "keyword",
        "company": "keyword",
        "keys": "keyword",
        "next_earnings": "date",
        "updated": "date",
    },
    known_at="updated",
    answering="paiddaily.answering:answer_tickers",
    understand=understand_tickers,
    # One row a company: its best section speaks for it, and one of its listings for the others.
    retrieval=RetrievalSettings(top_k=20, top_n=5, one_per_document=True, one_per="company"),
)
CATALYSTS = Collection(
    name="catalysts",
    sample=SAMPLES / "catalysts.jsonl",
    judged=JUDGED / "catalysts",
    fields=FieldMap(
        metadata={
            "date": ("date",),
            "entity": ("entity",),
            "symbol": ("symbol",),
            "type": ("type",),
            "asset_class": ("asset_class",),
            "sector": ("sector",),
            "status": ("status",),
            "keys": ("keys",),
            "loss_amount": ("loss_amount",),
            "loss_unit": ("loss_unit",),
            "techniques": ("techniques",),
            "chains": ("chains",),
            "shape": ("shape",),
            "active": ("active",),
            "date_source": ("date_source",),
            "outcome": ("outcome",),
            "outcome_date": ("outcome_date",),
            "sample": ("sample",),
        },
        required=("date",),
    ),
    adapt=adapt_catalyst,
    chunk=chunk_catalyst,
    chunker=CATALYST_CHUNKER,
    filters={
        "date": "date",
        "known_at": "date",
        "entity": "keyword",
        "symbol": "keyword",
        "type": "keyword",
        "asset_class": "keyword",
        "sector": "keyword",
        "status": "keyword",
        "keys": "keyword",
        "loss_amount": "number",
        "loss_unit": "keyword",
        "techniques": "keyword",
        "chains": "keyword",
        "shape": "keyword",
        "active": "date",
    },
    date="date",
    # `as_of` bounds what was known, not when the event was: outcomes became known later.
    known_at="known_at",
    understand=understand_catalysts,
    answering="paiddaily.answering:answer_catalysts",
    retrieval=RetrievalSettings(top_k=20, top_n=5, one_per_document=True),
)

SITE = Site(name="paiddaily", title="Paid Daily", collections=(TICKERS, CATALYSTS), ask="tickers")

__all__ = ["SITE"]

"""paiddaily: tickers with their set-ups, and an archive of dated catalysts."""

from pathlib import Path

from overfetch import Bm25, Collection, FieldKind, FieldMap, RetrievalSettings, Site
from paiddaily.catalysts import understand_catalysts
from paiddaily.chunking import CATALYST_CHUNKER, TICKER_CHUNKER, chunk_catalyst, chunk_ticker
from paiddaily.records import adapt_catalyst, adapt_ticker
from paiddaily.tickers import understand_tickers

FOLDER = Path(__file__).parent

TICKER_FILTERS: dict[str, FieldKind] = {
    **dict.fromkeys(("symbol", "sector", "industry", "asset_class", "country"), "keyword"),
    # Made for questions: see chunking.py.
    **dict.fromkeys(("size", "share", "markets", "kinds", "company", "keys"), "keyword"),
    **dict.fromkeys(("next_earnings", "updated"), "date"),
}
EVENT_FILTERS: dict[str, FieldKind] = {
    **dict.fromkeys(("entity", "symbol", "type", "asset_class", "sector", "status"), "keyword"),
    **dict.fromkeys(("keys", "loss_unit", "techniques", "chains", "shape"), "keyword"),
    **dict.fromkeys(("date", "known_at", "active"), "date"),
    "loss_amount": "number",
}

TICKERS = Collection(
    name="tickers",
    sample=FOLDER / "samples" / "tickers.jsonl",
    judged=FOLDER / "judged" / "tickers",
    fields=FieldMap(metadata=(*TICKER_FILTERS, "sample")),
    adapt=adapt_ticker,
    chunk=chunk_ticker,
    chunker=TICKER_CHUNKER,
    filters=TICKER_FILTERS,
    known_at="updated",
    understand=understand_tickers,
    answering="paiddaily.answering:answer_tickers",
    # One row a company: its best section speaks for it, and one of its listings for the others.
    retrieval=RetrievalSettings(top_k=20, top_n=5, one_per_document=True, one_per="company"),
)
CATALYSTS = Collection(
    name="catalysts",
    sample=FOLDER / "samples" / "catalysts.jsonl",
    judged=FOLDER / "judged" / "catalysts",
    fields=FieldMap(metadata=(*EVENT_FILTERS, "outcome", "outcome_date", "sample"), required=("date",)),
    adapt=adapt_catalyst,
    chunk=chunk_catalyst,
    chunker=CATALYST_CHUNKER,
    filters=EVENT_FILTERS,
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

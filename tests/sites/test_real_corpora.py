"""The real corpora of the three sites' kinds are read, chunked, indexed and found, with real BM25 and no model."""

from pathlib import Path

import pytest

from overfetch import Engine, load_site, token_counter
from overfetch.indexing import to_passages
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker

CORPORA = Path(__file__).parents[3] / "shared/data/corpora"
EVENTS = ("defi_incidents.jsonl", "eips.jsonl", "filings_8k.jsonl")
SOURCES = {
    "builddaily/resources": (1587, ["devtools-docs/pages.jsonl"]),
    "paiddaily/catalysts": (856 + 584 + 56, [f"catalyst-events/{name}" for name in EVENTS]),
    "paiddaily/tickers": (39148, ["tickers/companies.jsonl"]),
    "sagedaily/canon": (2673, ["tarot-astrology/corpus.jsonl"]),
}
count_tokens = token_counter("all-minilm-l6-v2")
CHUNKED, COUNTED = 120, 500  # documents, and passages of theirs whose tokens are counted, spread evenly over all

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.slow,
    pytest.mark.skipif(not CORPORA.exists(), reason=f"needs {CORPORA}, which users do not have"),
]


@pytest.mark.parametrize("name", SOURCES)
def test_every_document_is_read_and_becomes_passages(name: str) -> None:
    site, _, collection = name.partition("/")
    chosen = load_site(site).collection(collection)
    number, sources = SOURCES[name]
    documents = list(chosen.read(*(CORPORA / source for source in sources)))
    assert len(documents) == number
    some = documents[:: 1 + len(documents) // CHUNKED]
    passages = [passage for document in some for passage in to_passages(chosen, document)]
    assert len({passage.id for passage in passages}) == len(passages) >= len(some)
    assert all(passage.text.strip() for passage in passages)
    counted = passages[:: 1 + len(passages) // COUNTED]
    assert max(count_tokens(passage.reading) for passage in counted) <= 254, "two more are the embedder's own"


def test_real_events_are_found_and_indexed_once(tmp_path: Path) -> None:
    engine = Engine(load_site("paiddaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=EdgeStore(tmp_path))
    events = CORPORA / "catalyst-events/defi_incidents.jsonl"
    report = engine.index("catalysts", events)
    assert report.embedded == report.added == engine.store.count("paiddaily/catalysts")
    hits = engine.search("catalysts", "Parity Multisig delegatecall initWallet").hits
    assert "hack-20170719-parity-multisig" in [hit.passage.document_id for hit in hits]
    assert engine.index("catalysts", events).embedded == 0

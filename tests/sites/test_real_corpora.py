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
FOUND = {
    "paiddaily/catalysts": ("Parity Multisig delegatecall initWallet", "hack-20170719-parity-multisig"),
    "sagedaily/canon": ("The Magician youthful figure in the robe of a magician", "waite-ar01"),
}

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
    passages = [passage for document in documents for passage in to_passages(chosen, document)]
    assert len({passage.id for passage in passages}) == len(passages) >= number
    assert all(passage.text.strip() for passage in passages)
    some = passages[:: 1 + len(passages) // 5_000]
    assert max(count_tokens(passage.reading) for passage in some) <= 254, "two more are the embedder's own"


@pytest.mark.parametrize("name", FOUND)
def test_real_documents_are_found(name: str, tmp_path: Path) -> None:
    site, _, collection = name.partition("/")
    query, right = FOUND[name]
    engine = Engine(load_site(site), embedder=FakeEmbedder(), reranker=FakeReranker(), store=EdgeStore(tmp_path))
    report = engine.index(collection, *(CORPORA / source for source in SOURCES[name][1]))
    assert report.embedded == report.added == engine.store.count(name)
    assert right in [hit.passage.document_id for hit in engine.search(collection, query).hits]
    assert engine.index(collection, *(CORPORA / source for source in SOURCES[name][1])).embedded == 0

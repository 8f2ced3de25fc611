"""Stores that earlier versions wrote: they go on serving, and what cannot be mixed is refused by name.

`stores/schema-2` is sagedaily's sample as commit fc3d2a2 indexed it, with the embedder of that day, and the passages
that it found for a few queries with `rerank=False`.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from overfetch import Engine, ProvenanceMismatch, open_site
from overfetch.bm25 import AS_WRITTEN, SPARSE_TOKENIZER
from overfetch.environment import read_environment

STORES = Path(__file__).parent / "stores"
FOUND: dict[str, list[str]] = json.loads((STORES / "schema-2.json").read_text(encoding="utf-8"))
THEN = "sentence-transformers/all-MiniLM-L6-v2@1110a243fdf4706b3f48f1d95db1a4f5529b4d41#fp32"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    root = tmp_path / "kept"
    with tarfile.open(STORES / "schema-2.tar.xz") as kept:
        kept.extractall(root, filter="data")
    environment = read_environment().model_copy(update={"qdrant": f"file:{root}"})
    with open_site("sagedaily", environment=environment) as engine:
        yield engine


def found_by(engine: Engine, query: str) -> list[str]:
    return [hit.passage.id for hit in engine.search("canon", query, rerank=False).hits]


def test_it_opens_and_serves(engine: Engine) -> None:
    engine.warm_up()
    assert {query: found_by(engine, query) for query in FOUND} == FOUND
    retrieval = engine.search("canon", "The Tower reversed")
    assert retrieval.rerank_status == "full"
    assert retrieval.provenance["sparse_tokenizer"] == AS_WRITTEN  # its queries are tokenised as its passages were
    assert retrieval.provenance["embedder"] == THEN  # what made these vectors, not what would today


def test_its_vectors_are_not_mixed_with_new_ones(engine: Engine) -> None:
    with pytest.raises(ProvenanceMismatch) as refused:
        engine.index("canon")
    assert THEN in str(refused.value)
    assert f"sparse_tokenizer: stored '{AS_WRITTEN}', wanted '{SPARSE_TOKENIZER}'" in str(refused.value)
    assert "chunker: stored 'sagedaily-entry/1/words=140'" in str(refused.value)
    assert "overfetch index sagedaily/canon --rebuild --profile mini" in str(refused.value)
    assert {query: found_by(engine, query) for query in FOUND} == FOUND


def test_a_rebuild_takes_its_place_and_rolls_back_to_it(engine: Engine) -> None:
    engine.index("canon", rebuild=True)
    assert engine.search("canon", "The Tower reversed").provenance["embedder"] == engine.embedder.spec.identity
    assert engine.index("canon").embedded == 0
    engine.store.rollback("sagedaily/canon")
    assert {query: found_by(engine, query) for query in FOUND} == FOUND

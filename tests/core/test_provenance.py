"""The lock: nothing is searched or written with other models than the ones that made a collection."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from overfetch.bm25 import AS_WRITTEN, SPARSE_TOKENIZER, TERMS, WITH_ACCENTS, Bm25
from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.environment import ServerSettings
from overfetch.errors import ProvenanceMismatch, SettingsError, StoreError
from overfetch.models import find_profile
from overfetch.partitions import Partition
from overfetch.protocols import EncodedQuery, Found, SparseVector, Store, Vectors
from overfetch.provenance import (
    FIRST_STAGE_FIELDS,
    WRITE_FIELDS,
    Provenance,
    require_match,
)
from overfetch.sites import Collection, Site
from overfetch.sparse import embed_sparse_query
from overfetch.stores.edge import EdgeStore
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder, FakeReranker
from overfetch.types import Chunk, Document

NAME = "notebook/notes"
COMMAND = "overfetch index notebook/notes --rebuild"


def write_corpus(path: Path, *texts: str) -> Path:
    lines = [json.dumps({"_id": f"note-{n}", "title": f"Note {n}", "text": text}) for n, text in enumerate(texts)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def one_chunk(document: Document) -> list[Chunk]:
    return [Chunk(breadcrumb=document.title, text=document.text)]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "sample.jsonl", "a sample of bitcoin", "a sample of ether")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.jsonl", "all about bitcoin", "all about ether", "all about solana")


@pytest.fixture(params=["edge", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = (
        EdgeStore(tmp_path / "collections") if request.param == "edge" else ServerStore(":memory:", ServerSettings())
    )
    yield opened
    opened.close()


def engine(
    store: Store,
    sample: Path,
    *,
    embedder: FakeEmbedder | None = None,
    chunker: str = "note/1",
    bm25: Bm25 | None = None,
) -> Engine:
    notes = Collection(
        name="notes",
        sample=sample,
        fields=FieldMap(metadata={}),
        chunk=one_chunk,
        chunker=chunker,
        answering="nowhere:answer",
        bm25=bm25 or Bm25(),
    )
    site = Site(name="notebook", title="Notebook", collections=(notes,), ask="notes")
    return Engine(site, embedder=embedder or FakeEmbedder(), reranker=FakeReranker(), store=store)


def other_embedder(**changes: object) -> FakeEmbedder:
    embedder = FakeEmbedder()
    embedder.spec = embedder.spec.model_copy(update=changes)
    return embedder


# (the embedder, the field of the provenance, the value stored, the value wanted)
OTHER_EMBEDDERS = [
    (FakeEmbedder(name="other"), "embedder", "fake-embedder@0#fp32", "other@0#fp32"),
    (FakeEmbedder(revision="1"), "embedder", "fake-embedder@0#fp32", "fake-embedder@1#fp32"),
    (other_embedder(precision="int8"), "embedder", "fake-embedder@0#fp32", "fake-embedder@0#int8"),
    (other_embedder(query_prefix="search_query: "), "query_prefix", "", "search_query: "),
    (other_embedder(passage_prefix="search_document: "), "passage_prefix", "", "search_document: "),
    (other_embedder(dimension=32), "dimension", 64, 32),
]
with_another_embedder = pytest.mark.parametrize(
    ("embedder", "field", "stored", "wanted"),
    OTHER_EMBEDDERS,
    ids=["name", "revision", "precision", "query prefix", "passage prefix", "dimension"],
)


def assert_explained(
    error: ProvenanceMismatch, field: str, stored: object, wanted: object, options: str = " --profile NAME"
) -> None:
    message = str(error)
    assert f"{field}: stored {stored!r}, wanted {wanted!r}" in message
    assert NAME in message
    assert message.endswith(f"{COMMAND}{options}")
    assert "\n" not in message


@with_another_embedder
def test_indexing_with_another_embedder(
    store: Store, sample: Path, embedder: FakeEmbedder, field: str, stored: object, wanted: object
) -> None:
    engine(store, sample).index("notes")
    before = (store.hashes(NAME), store.provenance(NAME))
    embedder.embedded_passages = 0
    with pytest.raises(ProvenanceMismatch) as raised:
        engine(store, sample, embedder=embedder).index("notes")
    assert_explained(raised.value, field, stored, wanted)
    assert (store.hashes(NAME), store.provenance(NAME)) == before
    assert embedder.embedded_passages == 0


@with_another_embedder
def test_searching_with_another_embedder(
    store: Store, sample: Path, embedder: FakeEmbedder, field: str, stored: object, wanted: object
) -> None:
    engine(store, sample).index("notes")
    with pytest.raises(ProvenanceMismatch) as raised:
        engine(store, sample, embedder=embedder).search("notes", "bitcoin")
    assert_explained(raised.value, field, stored, wanted)


def test_a_rebuild_repairs(store: Store, sample: Path) -> None:
    engine(store, sample).index("notes")
    repaired = engine(store, sample, embedder=FakeEmbedder(revision="1"), chunker="note/2")
    report = repaired.index("notes", rebuild=True)
    assert (report.added, report.embedded, report.kept) == (2, 2, 0)
    assert repaired.search("notes", "bitcoin").provenance["embedder"] == "fake-embedder@1#fp32"
    assert repaired.index("notes").embedded == 0
    with pytest.raises(ProvenanceMismatch):
        engine(store, sample).search("notes", "bitcoin")


def test_a_dry_run_is_refused_as_well(store: Store, sample: Path) -> None:
    engine(store, sample).index("notes")
    with pytest.raises(ProvenanceMismatch):
        engine(store, sample, chunker="note/2").index("notes", dry_run=True)


def test_another_chunker_may_search_but_not_write(store: Store, sample: Path) -> None:
    engine(store, sample).index("notes")
    before = store.hashes(NAME)
    changed = engine(store, sample, chunker="note/2")
    assert changed.search("notes", "bitcoin").provenance["chunker"] == "note/1"  # what made the passages, not ours
    with pytest.raises(ProvenanceMismatch) as raised:
        changed.index("notes")
    assert_explained(raised.value, "chunker", "note/1", "note/2", "")
    assert "profile" not in str(raised.value)
    assert store.hashes(NAME) == before


def test_every_difference_is_named_at_once() -> None:
    stored = Provenance.of(FakeEmbedder().spec, "note/1", "sample")
    wanted = Provenance.of(FakeEmbedder(revision="1").spec, "note/2", "elsewhere")
    with pytest.raises(ProvenanceMismatch) as raised:
        require_match(NAME, stored, wanted, WRITE_FIELDS)
    assert "embedder: " in str(raised.value)
    assert "chunker: " in str(raised.value)
    assert "source: " not in str(raised.value)  # another source is an update, not a mismatch


@pytest.mark.parametrize(("field", "value"), [("sparse_tokenizer", "another/1"), ("schema_version", 0)])
def test_another_tokenizer_or_schema_is_refused_by_both_paths(field: str, value: object) -> None:
    wanted = Provenance.of(FakeEmbedder().spec, "note/1", "sample")
    stored = wanted.model_copy(update={field: value})
    for fields in (FIRST_STAGE_FIELDS, WRITE_FIELDS):
        with pytest.raises(ProvenanceMismatch) as raised:
            require_match(NAME, stored, wanted, fields)
        assert_explained(raised.value, field, value, getattr(wanted, field), "")


class TestSampleCorpus:
    def test_it_never_silently_replaces_a_real_one(self, store: Store, sample: Path, corpus: Path) -> None:
        opened = engine(store, sample)
        opened.index("notes", corpus)
        before = (store.hashes(NAME), store.provenance(NAME))
        with pytest.raises(SettingsError) as raised:
            opened.index("notes")
        assert f"--source {corpus}" in str(raised.value)
        assert f"--source {sample}" in str(raised.value)
        assert (store.hashes(NAME), store.provenance(NAME)) == before

    def test_not_even_one_that_replaced_it(self, store: Store, sample: Path, corpus: Path) -> None:
        opened = engine(store, sample)
        opened.index("notes")
        opened.index("notes", corpus)
        before = store.hashes(NAME)
        with pytest.raises(SettingsError, match="the sample corpus would replace it"):
            opened.index("notes")
        assert store.hashes(NAME) == before

    def test_not_even_a_rebuild_does_unless_the_sample_is_named(self, store: Store, sample: Path, corpus: Path) -> None:
        opened = engine(store, sample)
        opened.index("notes", corpus)
        with pytest.raises(SettingsError, match="the sample corpus would replace it"):
            opened.index("notes", rebuild=True)
        opened.index("notes", sample)
        assert store.count(NAME) == 2

    def test_the_repair_names_the_real_source(self, store: Store, sample: Path, corpus: Path) -> None:
        engine(store, sample).index("notes", corpus)
        with pytest.raises(ProvenanceMismatch) as raised:
            engine(store, sample, embedder=FakeEmbedder(revision="1")).search("notes", "a")
        assert f"{COMMAND} --source {corpus} --profile NAME" in str(raised.value)

    def test_the_repair_names_what_was_to_be_indexed(self, store: Store, sample: Path, corpus: Path) -> None:
        engine(store, sample).index("notes")
        with pytest.raises(ProvenanceMismatch) as raised:
            engine(store, sample, chunker="note/2").index("notes", corpus)
        assert str(raised.value).endswith(f"Rebuild it: {COMMAND} --source {corpus}")

    def test_another_embedder_is_refused_under_the_lock_too(self, store: Store, sample: Path) -> None:
        """Whoever asked before somebody else rebuilt must not write into what is there now."""
        engine(store, sample).index("notes")
        other = store.provenance(NAME).model_copy(update={"embedder": "other"})
        before = store.hashes(NAME)
        with pytest.raises(ProvenanceMismatch), store.write(NAME, other, {}):
            pass
        assert store.hashes(NAME) == before

    def test_a_real_corpus_replaces_it_without_asking(self, store: Store, sample: Path, corpus: Path) -> None:
        opened = engine(store, sample)
        opened.index("notes")
        report = opened.index("notes", corpus)
        assert (report.added, report.changed) == (1, 2)
        assert store.provenance(NAME).source == str(corpus)


class TestOtherVersions:
    """What another version of Overfetch wrote is told from what is damaged, and a rebuild repairs both."""

    def rewrite(self, store: EdgeStore, **changes: object) -> None:
        (path,) = store.root.rglob("provenance.json")
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")

    @pytest.fixture
    def edge(self, tmp_path: Path) -> Iterator[EdgeStore]:
        opened = EdgeStore(tmp_path / "collections")
        yield opened
        opened.close()

    def test_a_newer_one(self, edge: EdgeStore, sample: Path) -> None:
        opened = engine(edge, sample)
        opened.index("notes")
        self.rewrite(edge, schema_version=99, library_version="9.1.0", invented=True)
        for work in (lambda: opened.search("notes", "bitcoin"), lambda: opened.index("notes"), opened.warm_up):
            with pytest.raises(ProvenanceMismatch, match=r"written by overfetch 9\.1\.0 \(schema_version: stored 99"):
                work()
        assert edge.generations(NAME)[0].provenance is None
        opened.index("notes", rebuild=True)
        assert opened.search("notes", "bitcoin").hits

    def test_a_damaged_one(self, edge: EdgeStore, sample: Path) -> None:
        opened = engine(edge, sample)
        opened.index("notes")
        self.rewrite(edge, dimension="wide")
        with pytest.raises(StoreError, match=r"the provenance of 'notebook/notes' is damaged: dimension"):
            opened.search("notes", "bitcoin")

    def test_a_pointer_of_one_line(self, edge: EdgeStore, sample: Path) -> None:
        opened = engine(edge, sample)
        opened.index("notes")
        (path,) = edge.root.rglob("CURRENT")
        path.write_text("000001", encoding="utf-8")
        assert opened.search("notes", "bitcoin").hits
        opened.index("notes", rebuild=True)
        assert [g.name for g in edge.generations(NAME)] == ["000002", "000001"]


def test_warming_up_finds_a_mismatch_before_the_first_request(store: Store, sample: Path) -> None:
    engine(store, sample).warm_up()  # nothing is indexed yet
    engine(store, sample).index("notes")
    with pytest.raises(ProvenanceMismatch, match="embedder: stored"):
        engine(store, sample, embedder=FakeEmbedder(revision="1")).warm_up()


def test_the_repair_names_a_profile_and_every_source(store: Store, sample: Path, corpus: Path, tmp_path: Path) -> None:
    odd = tmp_path / "two words.jsonl"
    odd.write_text('{"_id": "odd", "title": "Odd", "text": "odd"}', encoding="utf-8")
    engine(store, sample).index("notes", corpus, odd)
    real = FakeEmbedder()
    real.spec = find_profile("mini").embedder
    with pytest.raises(ProvenanceMismatch) as raised:
        engine(store, sample, embedder=real).search("notes", "a")
    assert str(raised.value).endswith(f"{COMMAND} --source {corpus} --source '{odd}' --profile mini")


def test_a_generation_swapped_in_during_a_search_is_not_searched_with_other_vectors(
    store: Store, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock is checked before the query is embedded; what is live may change until it is searched."""
    opened = engine(store, sample)
    opened.index("notes")
    embed = opened.embedder.embed_queries

    def embed_while_another_rebuilds(texts: Sequence[str]) -> Vectors:
        engine(store, sample, embedder=FakeEmbedder(revision="1")).index("notes", rebuild=True)
        return embed(texts)

    monkeypatch.setattr(opened.embedder, "embed_queries", embed_while_another_rebuilds)
    with pytest.raises(ProvenanceMismatch, match="embedder: stored 'fake-embedder@1"):
        opened.search("notes", "bitcoin")


@pytest.mark.parametrize("tokenizer", [AS_WRITTEN, SPARSE_TOKENIZER.replace(TERMS, WITH_ACCENTS)])
def test_what_an_earlier_tokenizer_made_is_asked_as_it_reads_until_it_is_indexed_again(
    tokenizer: str, store: Store, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = engine(store, sample)
    made = Provenance.of(before.embedder.spec, "note/1", "sample").model_copy(update={"sparse_tokenizer": tokenizer})
    monkeypatch.setattr(before, "_provenance", lambda collection, source: made)
    before.index("notes")
    asked: list[SparseVector] = []
    search = store.search

    def recorded(name: str, query: EncodedQuery, *args: Any, **options: Any) -> Found:
        asked.append(query.sparse)
        return search(name, query, *args, **options)

    monkeypatch.setattr(store, "search", recorded)
    now = engine(store, sample)
    assert now.search("notes", "idÉ").provenance["sparse_tokenizer"] == tokenizer
    assert asked.pop() == embed_sparse_query("idÉ", tokenizer) != embed_sparse_query("idÉ")
    assert now.index("notes").embedded == 0
    asked.clear()
    assert now.search("notes", "idÉ").provenance["sparse_tokenizer"] == SPARSE_TOKENIZER
    assert asked == [embed_sparse_query("idÉ")]


FITTED = Bm25(k1=0.6, b=0.25, average_length=8, fitted_on="notes/dev, 2 queries")


def bm25_scores(opened: Engine, query: str) -> list[float]:
    found = opened.search("notes", query, first_stage="bm25", rerank=False, include_candidates=True)
    return [hit.first_stage_score for hit in found.candidates]


def test_other_weights_are_made_without_a_model(store: Store, corpus: Path) -> None:
    before = engine(store, corpus)
    before.index("notes", corpus)
    now = engine(store, corpus, bm25=FITTED)
    scores = bm25_scores(now, "bitcoin")
    assert scores == bm25_scores(before, "bitcoin")  # in its own weights, until it is weighed anew
    write_corpus(corpus, "all about bitcoin", "all about ether", "all about solana and more")
    report = now.index("notes", corpus)
    assert (report.embedded, report.changed, report.kept) == (1, 1, 2)
    made = store.provenance(NAME)
    assert (made.sparse_tokenizer, made.fitted_on) == (FITTED.tokenizer, FITTED.fitted_on)
    assert bm25_scores(now, "bitcoin") != scores
    assert store.rollback(NAME).provenance == store.provenance(NAME)
    assert store.provenance(NAME).sparse_tokenizer == SPARSE_TOKENIZER


def test_other_weights_are_what_a_rebuild_makes(store: Store, corpus: Path) -> None:
    engine(store, corpus).index("notes", corpus)
    now = engine(store, corpus, bm25=FITTED)
    now.index("notes", corpus)
    weighed = bm25_scores(now, "bitcoin solana")
    assert now.index("notes", corpus, rebuild=True).embedded == 3
    assert bm25_scores(now, "bitcoin solana") == pytest.approx(weighed)


def test_a_partition_is_not_written_in_other_weights(corpus: Path) -> None:
    store = ServerStore(":memory:", ServerSettings())
    engine(store, corpus).index("notes", corpus)
    with pytest.raises(ProvenanceMismatch) as refused:
        engine(store, corpus, bm25=FITTED).index("notes", corpus, partition=Partition(number=1, count=2))
    assert f"sparse_tokenizer: stored {SPARSE_TOKENIZER!r}, wanted {FITTED.tokenizer!r}" in str(refused.value)

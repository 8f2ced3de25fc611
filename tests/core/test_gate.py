"""The gate: a generation that finds less than the live one is not published."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.environment import ServerSettings
from overfetch.errors import RecallLoss
from overfetch.protocols import Store
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.stores.edge import EdgeStore
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore
from overfetch.types import Chunk, Document

NAME = "notebook/notes"
TEXTS = {"tower": "the tower falls at night", "star": "the star rises with hope", "moon": "the moon is full of doubt"}
QUERIES = {"q1": ("tower falling", "tower"), "q2": ("rising star", "star")}


def one_chunk(document: Document) -> list[Chunk]:
    return [Chunk(breadcrumb=document.title, text=document.text)]


def write_corpus(path: Path, *names: str, **texts: str) -> Path:
    records = [{"_id": n, "title": n, "text": texts.get(n, TEXTS.get(n, "nothing else"))} for n in names]
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    lines = [json.dumps({"_id": q, "text": text}) for q, (text, _) in QUERIES.items()]
    (folder / "queries.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{q}\t{document}\t1" for q, (_, document) in QUERIES.items()]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(params=["edge", "memory", "fake"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    stores: dict[str, Callable[[], Store]] = {
        "edge": lambda: EdgeStore(tmp_path / "collections"),
        "memory": lambda: ServerStore(":memory:", ServerSettings()),
        "fake": FakeStore,
    }
    opened = stores[request.param]()
    yield opened
    opened.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.jsonl", *TEXTS)


def engine(store: Store, judged: Path | None, sample: Path, embedder: FakeEmbedder | None = None) -> Engine:
    notes = Collection(
        name="notes",
        sample=sample,
        fields=FieldMap(metadata={}),
        chunk=one_chunk,
        chunker="note/1",
        answering="nowhere:answer",
        judged=judged,
        retrieval=RetrievalSettings(top_k=2, top_n=1),
    )
    site = Site(name="notebook", title="Notebook", collections=(notes,), ask="notes")
    return Engine(site, embedder=embedder or FakeEmbedder(), reranker=FakeReranker(), store=store)


def test_what_the_first_generation_finds_is_stored_with_it(store: Store, judged: Path, source: Path) -> None:
    report = engine(store, judged, source).index("notes", source)
    assert report.recall is not None
    assert (report.recall.before, report.recall.after) == (None, 1.0)
    assert (report.recall.top_k, report.recall.queries) == (2, 2)
    recall = store.provenance(NAME).recall
    assert recall is not None
    assert recall.value == 1.0


def test_a_generation_that_finds_less_is_refused(store: Store, judged: Path, source: Path) -> None:
    opened = engine(store, judged, source)
    opened.index("notes", source)
    before = (store.hashes(NAME), store.provenance(NAME))
    write_corpus(source, "tower", "moon", "more")
    with pytest.raises(RecallLoss, match=r"finds 0\.500 .* the live one 1\.000 \(2 queries\).*--accept-loss"):
        opened.index("notes", source, rebuild=True)
    assert (store.hashes(NAME), store.provenance(NAME)) == before


def test_what_was_refused_is_published_once_the_loss_is_accepted(store: Store, judged: Path, source: Path) -> None:
    opened = engine(store, judged, source)
    opened.index("notes", source)
    write_corpus(source, "tower", "moon", "more")
    with pytest.raises(RecallLoss):
        opened.index("notes", source, rebuild=True)
    report = opened.index("notes", source, rebuild=True, accept_loss=True)
    assert report.recall is not None
    assert (report.recall.before, report.recall.after) == (1.0, 0.5)
    assert store.count(NAME) == 3
    if not isinstance(store, FakeStore):
        assert report.embedded == 0, "it was built before"
    with pytest.raises(RecallLoss):  # the next one is measured against what is live now
        opened.index("notes", write_corpus(source, "moon", "more"), rebuild=True)


def test_a_sync_is_gated_too(judged: Path, source: Path, tmp_path: Path) -> None:
    store = EdgeStore(tmp_path / "collections")
    opened = engine(store, judged, source)
    opened.index("notes", source)
    with pytest.raises(RecallLoss):
        opened.index("notes", write_corpus(source, "tower", "moon"))
    assert opened.search("notes", "rising star").hits[0].passage.document_id == "star"
    assert [g.state for g in store.generations(NAME)] == ["live", "unfinished"]
    store.prune(NAME, keep=2)
    report = opened.index("notes", write_corpus(source, *TEXTS, "more"))
    assert (report.added, report.embedded) == (1, 1)
    assert report.copied is not None
    assert report.copied.bytes > 0
    store.close()


def test_in_place_there_is_nothing_to_refuse(judged: Path, source: Path) -> None:
    store = ServerStore(":memory:", ServerSettings())
    opened = engine(store, judged, source)
    opened.index("notes", source)
    report = opened.index("notes", write_corpus(source, "tower", "moon"))
    assert report.recall is not None
    assert (report.recall.before, report.recall.after) == (1.0, 0.5), "but it is told"
    store.close()


def test_another_embedder_is_measured_against_what_was_stored(store: Store, judged: Path, source: Path) -> None:
    engine(store, judged, source).index("notes", source)
    blind = FakeEmbedder(revision="blind")
    report = engine(store, judged, source, blind).index("notes", source, rebuild=True)
    assert report.recall is not None
    assert report.recall.before == 1.0, "nobody can search the live one with these vectors"


def test_other_judgements_are_measured_anew(store: Store, judged: Path, source: Path) -> None:
    opened = engine(store, judged, source)
    opened.index("notes", source)
    (judged / "qrels" / "test.tsv").write_text("q1\tmoon\t1\nq2\tstar\t1\n", encoding="utf-8")
    report = opened.index("notes", source, rebuild=True)
    assert report.recall is not None
    assert report.recall.before == report.recall.after


def test_what_the_reranker_reads_does_not_change_what_is_measured(store: Store, judged: Path, source: Path) -> None:
    opened = engine(store, judged, source)
    opened.index("notes", source)
    before = store.provenance(NAME).recall
    (notes,) = opened.site.collections
    retrieval = notes.retrieval.model_copy(update={"read_tokens": 900})
    opened.site = opened.site.model_copy(update={"collections": (notes.model_copy(update={"retrieval": retrieval}),)})
    opened.index("notes", source, rebuild=True)
    assert before is not None
    assert before == store.provenance(NAME).recall


def test_the_sample_corpus_is_no_measure_of_another_one(store: Store, judged: Path, source: Path) -> None:
    opened = engine(store, judged, source)
    opened.index("notes")
    own = write_corpus(source.with_name("own.jsonl"), "moon", "more")
    assert opened.index("notes", own, rebuild=True).recall is None, "the queries are judged on another corpus"
    assert store.provenance(NAME).recall is None


def test_without_judged_queries_nothing_is_measured(store: Store, source: Path) -> None:
    assert engine(store, None, source).index("notes", source).recall is None


def test_own_data_is_not_judged_by_the_queries_of_the_sample(
    store: Store, judged: Path, source: Path, tmp_path: Path
) -> None:
    """A few equal ids are no reason: it found 1 of 28 documents by chance, and every later run was measured by that."""
    rows = "".join(f"\n{next(iter(QUERIES))}\tunknown-{number}\t1" for number in range(8))
    with (judged / "qrels" / "test.tsv").open("a") as qrels:
        qrels.write(rows)
    own = write_corpus(tmp_path / "own.jsonl", "tower", "more")
    report = engine(store, judged, source).index("notes", own)
    assert report.recall is None
    assert store.provenance(NAME).recall is None

"""Documents put and removed one by one, on each store: no other is touched."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from overfetch import Collection, Engine, FieldMap, Site, chunk_by_headings
from overfetch.errors import CollectionMissing, CorpusError, ProvenanceMismatch, RecallLoss, SettingsError, StoreLocked
from overfetch.indexing import BATCH
from overfetch.protocols import Store
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore

NAME = "sky/canon"
CANON = Collection(
    name="canon",
    sample=Path("nowhere"),
    fields=FieldMap(metadata={"element": ("element",), "seen": ("seen",)}),
    filters={"element": "keyword", "seen": "date"},
    chunk=lambda document: chunk_by_headings(document, 140),
    chunker="sky/1",
    answering="sky.answering:answer",
)
SOURCE = '{"_id": "sun", "title": "The Sun", "text": "noon"}\n{"_id": "moon", "title": "The Moon", "text": "night"}\n'


def canon(store: Store, collection: Collection = CANON) -> Engine:
    site = Site(name="sky", title="Sky", collections=(collection,), ask="canon")
    return Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)


def record(name: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"_id": name, "title": name.title(), "text": text, **fields}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "sky.jsonl"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def engine(store: Store, source: Path) -> Engine:
    engine = canon(store)
    engine.index("canon", source)
    return engine


def texts(engine: Engine) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for passage in sorted(engine.store.passages(NAME), key=lambda passage: passage.position):
        found.setdefault(passage.document_id, []).append(passage.text)
    return found


def test_a_document_is_added_replaced_and_removed(engine: Engine) -> None:
    before = texts(engine)
    pages = "\n\n".join(f"# {number}\n\nlight {number}" for number in range(3))
    added = engine.put("canon", [record("star", pages)])
    assert (added.documents, added.added, added.removed) == (1, 3, 0)
    assert texts(engine) == {**before, "star": ["light 0", "light 1", "light 2"]}
    replaced = engine.put("canon", [record("star", "dark")])
    assert (replaced.changed, replaced.removed, replaced.kept) == (1, 2, 0)
    assert texts(engine) == {**before, "star": ["dark"]}
    assert engine.remove("canon", ["star", "comet"]).removed == 1
    assert texts(engine) == before


def test_what_is_put_again_is_not_written_again(engine: Engine) -> None:
    engine.put("canon", [record("star", "light")])
    names = [generation.name for generation in engine.store.generations(NAME)]
    again = engine.put("canon", [record("star", "light")])
    assert (again.kept, again.embedded) == (1, 0)
    assert [generation.name for generation in engine.store.generations(NAME)] == names


def test_a_long_document_goes_as_a_whole(engine: Engine) -> None:
    before = texts(engine)
    engine.put("canon", [record("deck", "\n\n".join(f"# {n}\n\nlight {n}" for n in range(BATCH + 20)))])
    assert len(texts(engine)["deck"]) == BATCH + 20
    assert engine.remove("canon", ["deck"]).removed == BATCH + 20
    assert texts(engine) == before


def test_the_next_run_from_its_sources_makes_it_equal_to_them(engine: Engine) -> None:
    before = texts(engine)
    engine.put("canon", [record("star", "light"), record("sun", "dusk")])
    engine.remove("canon", ["moon"])
    report = engine.index_again("canon")
    assert (report.documents, report.added, report.changed, report.removed) == (2, 1, 1, 1)
    assert texts(engine) == before


def test_its_sources_are_read_as_they_were(store: Store, tmp_path: Path) -> None:
    sources = [tmp_path / "the sky.jsonl", tmp_path / "it's.jsonl"]
    for source in sources:
        source.write_text(SOURCE + "{\n")
    engine = canon(store)
    engine.index("canon", *sources, id_prefixes=["a b/", ""], skip_bad=True)
    before = engine.store.provenance(NAME)
    report = engine.index_again("canon")
    assert (report.documents, report.kept, len(report.skipped)) == (4, 4, 2)
    assert engine.store.provenance(NAME) == before


def test_dry_runs_change_nothing(engine: Engine) -> None:
    before = texts(engine)
    assert engine.put("canon", [record("star", "light")], dry_run=True).added == 1
    assert engine.remove("canon", ["sun"], dry_run=True).removed == 1
    assert texts(engine) == before


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"_id": "star", "title": "Star"}, "record 2: no text"),
        ({"title": "Star", "text": "light"}, "record 2: no id"),
        (record("star", "light", seen="soon"), "record 2: .*seen"),
        (record("star", "light", seen=float("nan")), "record 2: .*not a finite number"),
        (record("star", "\ud800"), "record 2: text that cannot be stored"),
        (record("sky", "light"), "record 2: duplicate document id 'sky'"),
    ],
)
def test_one_bad_record_is_named_and_nothing_is_written(engine: Engine, bad: dict[str, Any], said: str) -> None:
    before = texts(engine)
    with pytest.raises(CorpusError, match=said):
        engine.put("canon", [record("sky", "blue"), bad])
    assert texts(engine) == before


@pytest.mark.parametrize("given", ["sun", {"_id": "sun"}, b"sun", None])
def test_one_alone_is_not_taken_for_many(engine: Engine, given: Any) -> None:
    engine.put("canon", [record("s", "light"), record("_id", "light")])  # a letter of it, and a key
    before = texts(engine)
    with pytest.raises(SettingsError, match="document_ids: give a list of ids, also of a single one"):
        engine.remove("canon", given)
    with pytest.raises(SettingsError, match="records: give a list of mappings, one a document"):
        engine.put("canon", given)
    assert texts(engine) == before


def test_what_is_no_record_is_named(engine: Engine) -> None:
    with pytest.raises(CorpusError, match=r"record 2: a record is a mapping of fields .given 'moon'"):
        engine.put("canon", [record("sky", "blue"), "moon"])  # type: ignore[list-item]
    forgetful = canon(engine.store, CANON.model_copy(update={"adapt": lambda found: None}))
    with pytest.raises(CorpusError, match=r"record 1: .*the collection's adapt gave None"):
        forgetful.put("canon", [record("sky", "blue")])


def test_a_record_is_adapted_as_those_of_files_are(store: Store, source: Path) -> None:
    engine = canon(store, CANON.model_copy(update={"adapt": lambda found: {**found, "element": found["kind"]}}))
    source.write_text(SOURCE.replace("}", ', "kind": "fire"}'))
    engine.index("canon", source)
    engine.put("canon", [record("star", "light", kind="air", seen=date(2026, 5, 1))])
    stored = [passage.metadata for passage in engine.store.passages(NAME) if passage.document_id == "star"]
    assert stored == [{"element": "air", "seen": "2026-05-01"}]
    with pytest.raises(CorpusError, match="record 1: not a record of this collection: KeyError: 'kind'"):
        engine.put("canon", [record("star", "light")])


def test_what_is_not_indexed_or_was_made_otherwise_is_refused(engine: Engine) -> None:
    with pytest.raises(CollectionMissing):
        canon(FakeStore()).put("canon", [record("star", "light")])
    others = canon(engine.store, CANON.model_copy(update={"filters": {"element": "keyword"}}))
    with pytest.raises(ProvenanceMismatch, match="filters"):
        others.put("canon", [record("star", "light")])


class TestInProcess:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        opened = EdgeStore(tmp_path / "edge")
        yield opened
        opened.close()

    def test_a_second_writer_is_refused(self, engine: Engine) -> None:
        made = engine.store.provenance(NAME)
        with engine.store.write(NAME, made, CANON.filters), pytest.raises(StoreLocked):
            engine.put("canon", [record("star", "light")])

    def test_what_another_run_left_is_not_published_with_it(self, engine: Engine, source: Path) -> None:
        def stop(done: int, total: int | None) -> None:
            if total is not None:
                raise KeyboardInterrupt

        source.write_text(SOURCE.replace("noon", "dusk"))
        with pytest.raises(KeyboardInterrupt):
            engine.index("canon", source, progress=stop)
        assert "unfinished" in [generation.state for generation in engine.store.generations(NAME)]
        engine.put("canon", [record("star", "light")])
        assert texts(engine) == {"sun": ["noon"], "moon": ["night"], "star": ["light"]}

    def test_the_judged_queries_must_find_as_much(self, engine: Engine, source: Path, tmp_path: Path) -> None:
        judged = tmp_path / "judged"
        (judged / "qrels").mkdir(parents=True)
        (judged / "queries.jsonl").write_text('{"_id": "q", "text": "night"}\n')
        (judged / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\tmoon\t1\n")
        held = canon(engine.store, CANON.model_copy(update={"judged": judged}))
        held.index("canon", source, rebuild=True)
        with pytest.raises(RecallLoss):
            held.remove("canon", ["moon"])
        assert held.put("canon", [record("star", "light")]).recall is not None
        assert sorted(texts(held)) == ["moon", "star", "sun"]
        held.remove("canon", ["moon"], accept_loss=True)
        assert sorted(texts(held)) == ["star", "sun"]

"""What an indexing run embeds, moves, reports and keeps in memory."""

import itertools
import json
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from qdrant_double import QdrantDouble, serve_rest

from overfetch import Chunk, Collection, Document, Engine, FieldMap, Site, chunk_by_headings
from overfetch.environment import ServerSettings
from overfetch.errors import CorpusError, SettingsError
from overfetch.indexing import BATCH
from overfetch.partitions import BUCKETS, Partition, bucket_of, parse_partition
from overfetch.protocols import Store
from overfetch.stores.edge import EdgeStore
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore

NAME = "sky/canon"
CANON = Collection(
    name="canon",
    sample=Path("nowhere"),
    fields=FieldMap(metadata={"element": ("element",)}),
    filters={"element": "keyword"},
    chunk=lambda document: chunk_by_headings(document, 140),
    chunker="sky/1",
    answering="sky.answering:answer",
)


def canon(embedder: FakeEmbedder, store: Store | None = None, collection: Collection = CANON) -> Engine:
    site = Site(name="sky", title="Sky", collections=(collection,), ask="canon")
    return Engine(site, embedder=embedder, reranker=FakeReranker(), store=store or FakeStore())


def entry(folder: Path, words: int) -> Path:
    source = folder / "entry.md"
    source.write_text(f"---\ntitle: Star\n---\n{'light ' * words}")
    return source


def lines(path: Path, texts: dict[str, str], **metadata: str) -> Path:
    records = ({"_id": name, "title": "Star", "text": text, **metadata} for name, text in texts.items())
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def page(paragraphs: int, start: int = 0) -> str:
    return "\n\n".join(f"# Card {number}\n\n{'light ' * 20}{number}" for number in range(start, paragraphs))


def test_passages_beyond_the_model_s_limit_are_counted_and_stored_whole(tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    embedder.spec = embedder.spec.model_copy(update={"max_tokens": 10})
    engine = canon(embedder)
    report = engine.index("canon", entry(tmp_path, 20))
    assert report.truncated_tokens == 1 + 20 - 10  # the title is read too
    assert engine.search("canon", "light").hits[0].passage.text == " ".join(["light"] * 20)


def test_progress_counts_and_then_ends_at_the_whole(tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    canon(FakeEmbedder()).index("canon", entry(tmp_path, 600), progress=lambda done, total: steps.append((done, total)))
    counted = [done for done, total in steps if total is None]
    written = [step for step in steps if step[1] is not None]
    assert counted[-1] == written[-1][0] == written[-1][1]
    assert steps == [*((done, None) for done in counted), *written]


class TestMoves:
    """What the models read decides whether a passage is embedded, not where it stands."""

    def test_a_section_inserted_at_the_top_embeds_one_passage(self, store: Store, tmp_path: Path) -> None:
        embedder = FakeEmbedder()
        engine = canon(embedder, store)
        engine.index("canon", lines(tmp_path / "a.jsonl", {"deck": page(8)}))
        clean = canon(FakeEmbedder())
        longer = lines(tmp_path / "a.jsonl", {"deck": f"# The Sun\n\nNoon.\n\n{page(8)}"})
        clean.index("canon", longer)
        embedder.embedded_passages = 0
        report = engine.index("canon", longer)
        assert (report.added, report.changed, report.moved) == (1, 8, 8)
        assert report.embedded == embedder.embedded_passages == 1
        assert store.hashes(NAME) == clean.store.hashes(NAME)
        for query, place in {"noon": 0, "card 3": 4, "card 7": 8}.items():
            assert engine.search("canon", query).hits[0].passage.position == place

    def test_a_page_longer_than_a_batch_moves_as_a_whole(self, store: Store, tmp_path: Path) -> None:
        engine = canon(FakeEmbedder(), store)
        engine.index("canon", lines(tmp_path / "a.jsonl", {"deck": page(BATCH + 20)}))
        report = engine.index("canon", lines(tmp_path / "a.jsonl", {"deck": f"# Sun\n\nNoon.\n\n{page(BATCH + 20)}"}))
        assert (report.moved, report.embedded) == (BATCH + 20, 1)

    def test_changed_metadata_and_renamed_documents_embed_nothing(self, store: Store, tmp_path: Path) -> None:
        embedder = FakeEmbedder()
        engine = canon(embedder, store)
        texts = {"star": "light", "moon": "night"}
        engine.index("canon", lines(tmp_path / "a.jsonl", texts))
        embedder.embedded_passages = 0
        dated = engine.index("canon", lines(tmp_path / "a.jsonl", texts, element="water"))
        renamed = engine.index("canon", lines(tmp_path / "a.jsonl", {"sun": "light", "moon": "night"}, element="water"))
        assert (dated.changed, dated.moved, renamed.added, renamed.removed, renamed.moved) == (2, 2, 1, 1, 1)
        assert embedder.embedded_passages == 0
        hits = engine.search("canon", "light", where=["element=water"]).hits
        assert hits[0].passage.document_id == "sun"

    def test_a_place_written_over_before_its_text_turns_up_is_embedded(self, store: Store, tmp_path: Path) -> None:
        """The first document takes what the last one had, whose place a batch in between fills with something else."""
        between = {f"x{number}": f"night {number}" for number in range(BATCH)}
        engine = canon(FakeEmbedder(), store)
        engine.index("canon", lines(tmp_path / "a.jsonl", {"first": "light", **between, "last": "noon"}))
        changed = {f"x{number}": f"dusk {number}" for number in range(BATCH)}
        swapped = lines(tmp_path / "a.jsonl", {"first": "new", **changed, "last": "light"})
        report = engine.index("canon", swapped)
        clean = canon(FakeEmbedder())
        clean.index("canon", swapped)
        assert report.embedded == BATCH + 2
        assert store.hashes(NAME) == clean.store.hashes(NAME)
        assert engine.search("canon", "light").hits[0].passage.document_id == "last"

    def test_a_dry_run_counts_them_without_a_model(self, store: Store, tmp_path: Path) -> None:
        embedder = FakeEmbedder()
        engine = canon(embedder, store)
        engine.index("canon", lines(tmp_path / "a.jsonl", {"star": "light", "moon": "night", "sun": "noon"}))
        embedder.embedded_passages = 0
        source = lines(tmp_path / "a.jsonl", {"star": "light", "moon": "dusk", "day": "noon", "new": "dawn"})
        report = engine.index("canon", source, dry_run=True)
        assert (report.added, report.changed, report.removed, report.kept) == (2, 1, 1, 1)
        assert (report.moved, report.embedded, embedder.embedded_passages) == (1, 0, 0)
        done = engine.index("canon", source)
        assert done.model_copy(update={"dry_run": True, "embedded": 0, "copied": None}) == report


class TestStreams:
    def test_only_a_batch_of_documents_is_in_memory(self, store: Store, tmp_path: Path) -> None:
        read: list[weakref.ref[Document]] = []
        alive = 0

        def chunk(document: Document) -> list[Chunk]:
            nonlocal alive
            read.append(weakref.ref(document))
            if len(read) % 100 == 0:
                alive = max(alive, sum(reference() is not None for reference in read))
            return [Chunk(breadcrumb="", text=document.text)]

        source = lines(tmp_path / "a.jsonl", {f"star{number}": f"light {number}" for number in range(1_000)})
        canon(FakeEmbedder(), store, CANON.model_copy(update={"chunk": chunk})).index("canon", source)
        assert len(read) == 2 * 1_000
        assert 0 < alive < 5

    def test_an_error_in_a_late_line_writes_nothing(self, store: Store, tmp_path: Path) -> None:
        embedder = FakeEmbedder()
        engine = canon(embedder, store)
        source = lines(tmp_path / "a.jsonl", {f"star{number}": f"light {number}" for number in range(3 * BATCH)})
        engine.index("canon", source)
        before, embedder.embedded_passages = store.hashes(NAME), 0
        changed = lines(tmp_path / "b.jsonl", {f"star{number}": f"night {number}" for number in range(3 * BATCH)})
        with changed.open("a") as file:
            file.write('{"_id": "late", "title": "Star", "te\n')
        with pytest.raises(CorpusError, match=rf"b\.jsonl:{3 * BATCH + 1}: broken JSON"):
            engine.index("canon", changed)
        assert (store.hashes(NAME), embedder.embedded_passages) == (before, 0)


class TestPartitions:
    @pytest.fixture
    def server(self) -> Iterator[ServerStore]:
        with serve_rest(QdrantDouble()) as address:
            opened = ServerStore(address, ServerSettings())
            yield opened
            opened.close()

    @pytest.fixture
    def texts(self) -> dict[str, str]:
        return {f"star{number}": f"light {number}" for number in range(300)}

    @pytest.mark.parametrize("count", [1, 2, 7, 100, BUCKETS])
    def test_every_bucket_is_in_exactly_one(self, count: int) -> None:
        parts = [Partition(number=number, count=count).buckets for number in range(1, count + 1)]
        assert list(itertools.chain(*parts)) == list(range(BUCKETS))

    def test_documents_spread_evenly(self) -> None:
        parts = [Partition(number=number, count=4) for number in range(1, 5)]
        sizes = [sum(part.holds(f"star{number}") for number in range(4_000)) for part in parts]
        assert sum(sizes) == 4_000
        assert min(sizes) > 850

    def test_many_at_once_equal_one_run(self, server: ServerStore, texts: dict[str, str], tmp_path: Path) -> None:
        whole = canon(FakeEmbedder())
        for edition in ({**texts}, {**dict(list(texts.items())[:-50]), "star0": "dark", "new": "dawn"}):
            source = lines(tmp_path / "a.jsonl", edition)
            expected = whole.index("canon", source)
            with ThreadPoolExecutor(5) as pool:
                parts = [Partition(number=number, count=5) for number in range(1, 6)]
                address = server.connection.address
                engines = [canon(FakeEmbedder(), ServerStore(address, ServerSettings())) for _ in parts]
                running = [
                    pool.submit(e.index, "canon", source, partition=p) for e, p in zip(engines, parts, strict=True)
                ]
                reports = [run.result() for run in running]
            assert server.hashes(NAME) == whole.store.hashes(NAME)
            for field in ("documents", "added", "changed", "removed", "kept", "embedded"):
                assert sum(getattr(report, field) for report in reports) == getattr(expected, field), field
        again = canon(FakeEmbedder(), server).index("canon", source, partition=Partition(number=2, count=5))
        assert (again.embedded, again.added, again.removed) == (0, 0, 0)

    def test_a_partition_leaves_the_others_passages(
        self, server: ServerStore, texts: dict[str, str], tmp_path: Path
    ) -> None:
        engine = canon(FakeEmbedder(), server)
        engine.index("canon", lines(tmp_path / "a.jsonl", texts))
        part = Partition(number=1, count=3)
        report = engine.index("canon", lines(tmp_path / "a.jsonl", {"star0": "light 0"}), partition=part)
        gone = {name for name in texts if bucket_of(name) in part.buckets} - {"star0"}
        assert report.removed == len(gone) > 0
        assert server.count(NAME) == len(texts) - len(gone)

    def test_in_process_there_are_none(self, tmp_path: Path) -> None:
        source = lines(tmp_path / "a.jsonl", {"star": "light"})
        for dry_run in (False, True):
            with pytest.raises(SettingsError, match="partition 2/3: in process a collection has one writer"):
                canon(FakeEmbedder(), EdgeStore(tmp_path / "edge")).index(
                    "canon", source, partition=Partition(number=2, count=3), dry_run=dry_run
                )

    def test_none_is_rebuilt_alone(self, server: ServerStore, tmp_path: Path) -> None:
        source = lines(tmp_path / "a.jsonl", {"star": "light"})
        with pytest.raises(SettingsError, match="partition 2/3 cannot be rebuilt alone"):
            canon(FakeEmbedder(), server).index("canon", source, partition=Partition(number=2, count=3), rebuild=True)

    @pytest.mark.parametrize("text", ["0/3", "4/3", "3", "1/0", "-1/2", "1/2/3", "one/two", "1/70000", "", "1 / 2"])
    def test_bad_ones_are_refused(self, text: str) -> None:
        with pytest.raises(SettingsError, match=f"bad partition '{text}': write NUMBER/COUNT"):
            parse_partition(text)


def test_a_chunker_that_fails_is_named_and_costs_no_other_document(tmp_path: Path) -> None:
    def chunk(document: Document) -> list[Chunk] | None:
        return None if document.text == "two" else [Chunk(breadcrumb="", text=document.text)]

    source = lines(tmp_path / "a.jsonl", {"a": "one", "b": "two"})
    engine = canon(FakeEmbedder(), collection=CANON.model_copy(update={"chunk": chunk}))
    with pytest.raises(CorpusError, match="document 'b': chunk of collection 'canon' failed: TypeError: 'NoneType'"):
        engine.index("canon", source)
    report = engine.index("canon", source, skip_bad=True)
    assert (report.documents, [reason[:12] for reason in report.skipped]) == (1, ["document 'b'"])
    lines(source, {"a": "two", "b": "two"})
    with pytest.raises(CorpusError, match="every document was left out, such as document 'a': chunk"):
        engine.index("canon", source, skip_bad=True)
    assert len(engine.search("canon", "one").hits) == 1


def test_a_source_is_named_as_text_or_path(tmp_path: Path) -> None:
    source = lines(tmp_path / "a.jsonl", {"a": "one"})
    engine = canon(FakeEmbedder())
    assert engine.index("canon", str(source)).added == 1
    assert engine.index("canon", source).kept == 1
    wrong: tuple[Any, ...] = ([source], "", None)
    for given in wrong:
        with pytest.raises(SettingsError, match=r"a source is a path \(given .*one by one"):
            engine.index("canon", given)


def test_a_document_whose_chunks_cannot_be_filtered_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    """What a chunker says of a chunk is checked after the source was read."""

    def chunk(document: Document) -> list[Chunk]:
        day = "no day" if document.id == "b" else "2024-05-01"
        return [Chunk(breadcrumb="", text=document.text, metadata={"day": day})]

    source = lines(tmp_path / "a.jsonl", {"a": "one", "b": "two", "c": "three"})
    dated = CANON.model_copy(update={"chunk": chunk, "filters": {"day": "date"}})
    engine = canon(FakeEmbedder(), collection=dated)
    with pytest.raises(CorpusError, match="document 'b': field 'day'"):
        engine.index("canon", source)
    report = engine.index("canon", source, skip_bad=True)
    assert (report.documents, report.added) == (2, 2)
    assert [reason[:12] for reason in report.skipped] == ["document 'b'"]

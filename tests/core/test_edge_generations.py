"""Generations under fire: other processes write, search, open and are killed while a collection is in use.

The other processes run this very file: `test_edge_generations.py COMMAND FOLDER [ARGUMENTS]`. Each says on stdout
how far it is, one line at a time, so that the test knows when to act or to kill.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest
from filelock import FileLock

from overfetch import indexing
from overfetch.corpus import FieldMap
from overfetch.errors import CollectionMissing, StoreError, StoreLocked, StoreUnavailable
from overfetch.indexing import IndexReport, index
from overfetch.protocols import EncodedQuery, Vectors
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection
from overfetch.sparse import embed_sparse_query
from overfetch.stores import edge_generations, edge_requests, edge_writing
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder
from overfetch.types import Chunk, Document

NAME, FOLDER = "test/notes", "test--notes"
NOTES = Collection(
    name="notes",
    sample=Path("nowhere.jsonl"),
    fields=FieldMap(metadata={}),
    chunk=lambda document: [Chunk(breadcrumb=document.title, text=document.text)],
    chunker="note/1",
    answering="nowhere:answer",
)
BATCH, BATCHES = 8, 6
COUNT = BATCH * BATCHES
PATIENCE = 60.0
CHECKPOINT = "OVERFETCH_TEST_CHECKPOINT_S"

Start = Callable[..., "subprocess.Popen[str]"]


def documents(edition: int, count: int = COUNT) -> list[Document]:
    """The same ids in every edition, other texts."""
    return [
        Document(
            id=f"note-{n}", title=f"Note {n}", text=f"edition {edition} of note {n}", metadata={"edition": edition}
        )
        for n in range(count)
    ]


def provenance(source: str = "notes") -> Provenance:
    return Provenance.of(FakeEmbedder().spec, NOTES.chunker, source)


def index_notes(
    store: EdgeStore,
    edition: int,
    *,
    embedder: FakeEmbedder | None = None,
    rebuild: bool = False,
    progress: indexing.Progress = lambda done, total: None,
) -> IndexReport:
    return index(
        NAME,
        NOTES,
        lambda: documents(edition),
        store=store,
        embedder=embedder or FakeEmbedder(),
        provenance=provenance(),
        rebuild=rebuild,
        progress=progress,
    )


def search_all(store: EdgeStore) -> list[tuple[object, str]]:
    """(edition, text) of every passage, found by a search."""
    query = EncodedQuery(FakeEmbedder().embed_queries(["edition"])[0], embed_sparse_query("edition"))
    found = store.search(NAME, query, [], RetrievalSettings(top_k=1000)).candidates
    return [(c.passage.metadata["edition"], c.passage.text) for c in found]


def editions(store: EdgeStore) -> set[object]:
    return {edition for edition, _ in search_all(store)}


# What the other processes do.


class SlowEmbedder(FakeEmbedder):
    """Sleeps for each batch, so that there is a moment to be killed in."""

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        time.sleep(0.1)
        return super().embed_passages(texts)


def say(line: object) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run_holder(store: EdgeStore) -> None:
    with store.write(NAME, provenance(), {}):
        say("holding")
        sys.stdin.read()


def run_slow_indexing(store: EdgeStore, edition: str) -> None:
    indexing.BATCH = BATCH
    edge_writing.CHECKPOINT_S = float(os.environ.get(CHECKPOINT, edge_writing.CHECKPOINT_S))
    index_notes(store, int(edition), embedder=SlowEmbedder(), progress=lambda done, total: say(done) if total else None)
    say("published")


def run_reader(store: EdgeStore, stop: str) -> None:
    """Says each edition that it sees; fails on a result of two editions or with passages missing."""
    last: object = None
    while not Path(stop).exists():
        found = search_all(store)
        seen = {edition for edition, _ in found}
        if len(seen) != 1 or len(set(found)) != COUNT:
            raise AssertionError(f"{len(set(found))} passages of {COUNT}, editions {seen}")
        if (edition := seen.pop()) != last:
            last = edition
            say(edition)


def run_opener(store: EdgeStore, start: str, times: str) -> None:
    say("ready")
    while not Path(start).exists():
        time.sleep(0.001)
    for _ in range(int(times)):
        again = EdgeStore(store.root)
        say(len(search_all(again)))
        again.close()


COMMANDS: dict[str, Callable[..., None]] = {
    "hold": run_holder,
    "index": run_slow_indexing,
    "read": run_reader,
    "open": run_opener,
}


# What the tests see of them.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "collections"


@pytest.fixture
def store(root: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore(root)
    yield opened
    opened.close()


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Starts another process; whatever still runs at the end of the test is killed."""
    with contextlib.ExitStack() as started:

        def start_one(command: str, *arguments: object) -> "subprocess.Popen[str]":
            line = [sys.executable, __file__, command, str(root), *map(str, arguments)]
            process = subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            started.callback(end, process)
            return process

        yield start_one


def end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


def kill(process: "subprocess.Popen[str]") -> None:
    """SIGKILL: no cleaning up, no flushing."""
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL


def output(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def wait_for(process: "subprocess.Popen[str]", line: str) -> None:
    """Reads what the process says until it says `line`."""
    for said in output(process):
        if said.strip() == line:
            return
    raise AssertionError(f"the process ended before it said {line!r}: {process.communicate()[1]}")


def finish(process: "subprocess.Popen[str]") -> list[str]:
    """Everything it said since; its own failure is the test's."""
    said, complaints = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, complaints
    return said.split()


def pointer(root: Path) -> str:
    return (root / FOLDER / "CURRENT").read_text(encoding="utf-8").split()[0]


def generations(root: Path) -> list[str]:
    return sorted(path.name for path in (root / FOLDER / "generations").iterdir())


def snapshot(root: Path) -> dict[Path, int]:
    """Every file and when it was last written."""
    return {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}


class TestGenerations:
    def test_each_write_publishes_the_next_generation_and_two_are_kept(self, store: EdgeStore, root: Path) -> None:
        for edition in (1, 2, 3):
            index_notes(store, edition)
            assert editions(store) == {edition}
        assert pointer(root) == "000003"
        assert generations(root) == ["000002", "000003"]

    def test_a_rebuild_is_a_generation_too(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        index_notes(store, 1, rebuild=True)
        assert pointer(root) == "000002"
        assert store.count(NAME) == COUNT

    def test_nothing_changed_means_nothing_written(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        store.count(NAME)  # opening a shard writes its own small files
        before = snapshot(root)
        embedder = FakeEmbedder()
        report = index_notes(store, 1, embedder=embedder)
        assert (report.embedded, report.kept, embedder.embedded_passages) == (0, COUNT, 0)
        assert snapshot(root) == before

    def test_only_what_changed_is_embedded(self, store: EdgeStore) -> None:
        index_notes(store, 1)
        embedder = FakeEmbedder()
        changed = [*documents(1)[2:], documents(2)[0]]  # one gone, one rewritten
        report = index(NAME, NOTES, lambda: changed, store=store, embedder=embedder, provenance=provenance())
        assert (report.changed, report.removed, report.kept) == (1, 1, COUNT - 2)
        assert (report.embedded, embedder.embedded_passages) == (1, 1)

    def test_a_dry_run_leaves_no_trace(self, store: EdgeStore, root: Path) -> None:
        report = index(
            *(NAME, NOTES, lambda: documents(1)),
            store=store,
            embedder=FakeEmbedder(),
            provenance=provenance(),
            dry_run=True,
        )
        assert (report.added, report.embedded) == (COUNT, 0)
        assert not root.exists()

    def test_a_copied_generation_stays_sparse(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        index_notes(store, 2)
        blocks = sum(path.stat().st_blocks for path in (root / FOLDER).rglob("*"))
        assert blocks * 512 < 20_000_000  # the engine reserves about 100 MB in each

    def test_a_failed_write_is_taken_up_again(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        with pytest.raises(ZeroDivisionError):
            index_notes(store, 2, progress=lambda done, total: print(1 // (total is None)))  # noqa: T201
        assert generations(root) == ["000001", "000002"]
        assert editions(store) == {1}
        embedder = FakeEmbedder()
        index_notes(store, 2, embedder=embedder)
        assert embedder.embedded_passages == 0
        assert editions(store) == {2}

    def test_what_the_engine_did_not_finish_is_written_again(
        self, store: EdgeStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An upsert that failed half way may have left old vectors under new texts."""
        index_notes(store, 1)
        upsert = edge_requests.upsert
        with monkeypatch.context() as breaking:
            breaking.setattr(edge_requests, "upsert", lambda of: upsert([p._replace(dense=p.dense[:3]) for p in of]))
            with pytest.raises(StoreError, match="cannot store passages"):
                index_notes(store, 2)
        embedder = FakeEmbedder()
        index_notes(store, 2, embedder=embedder)
        assert embedder.embedded_passages == COUNT
        assert editions(store) == {2}

    def test_a_write_that_failed_before_it_wrote_leaves_nothing(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        with pytest.raises(ZeroDivisionError), store.write(NAME, provenance(), {}):
            _ = 1 // 0
        assert generations(root) == ["000001"]

    def test_a_pointer_to_nothing_is_an_error_of_the_store(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        (root / FOLDER / "CURRENT").write_text("000007", encoding="utf-8")
        with pytest.raises(StoreUnavailable, match="cannot read 'test/notes'"):
            store.provenance(NAME)
        with pytest.raises(StoreError, match="cannot count 'test/notes'"):
            store.count(NAME)

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = EdgeStore(tmp_path / "file")
        with pytest.raises(StoreUnavailable, match="Not a directory"):
            index_notes(store, 1)
        with pytest.raises(StoreUnavailable, match="cannot write below"), store.write(NAME, provenance(), {}):
            pass


class TestOneWriter:
    def test_a_second_writer_is_told_who_writes_while_searches_go_on(self, store: EdgeStore, start: Start) -> None:
        index_notes(store, 1)
        holder = start("hold")
        wait_for(holder, "holding")
        with pytest.raises(StoreLocked, match=f"process {holder.pid} since"):
            index_notes(store, 2)
        assert editions(store) == {1}
        assert index_notes(store, 1).kept == COUNT  # nothing to write, so no lock is needed

    def test_the_lock_of_a_killed_writer_is_free(self, store: EdgeStore, start: Start, root: Path) -> None:
        holder = start("hold")
        wait_for(holder, "holding")
        kill(holder)
        assert index_notes(store, 1).added == COUNT
        assert not (root / FOLDER / "writer.json").exists()

    def test_a_writer_that_failed_frees_the_lock(self, store: EdgeStore, start: Start) -> None:
        holder = start("hold")
        wait_for(holder, "holding")
        finish(holder)  # its stdin closes and it publishes an empty collection
        assert index_notes(store, 1).added == COUNT

    def test_a_second_writer_in_the_same_process_is_refused_too(self, store: EdgeStore) -> None:
        with store.write(NAME, provenance(), {}), pytest.raises(StoreLocked, match=f"process {os.getpid()} since"):
            index_notes(store, 1)


class TestKilledWriter:
    @pytest.mark.parametrize(
        ("published", "killed_after"), [(False, BATCH), (False, COUNT), (True, BATCH * 3), (True, COUNT)]
    )
    def test_the_next_run_finishes_the_work(
        self, store: EdgeStore, start: Start, tmp_path: Path, published: bool, killed_after: int
    ) -> None:
        if published:
            index_notes(store, 1)
        before = store.hashes(NAME)
        killed_while_indexing(start, killed_after)
        after = store.hashes(NAME)
        clean = clean_build(tmp_path / "clean", edition=2)
        # After its last batch the writer may just have published; before, it cannot have.
        assert after == before or (killed_after == COUNT and after == clean)
        assert_missing(store, missing=not after)

        index_notes(store, 2)
        assert store.hashes(NAME) == clean
        assert store.count(NAME) == COUNT
        assert editions(store) == {2}

    def test_the_next_run_embeds_only_what_was_not_flushed(
        self, store: EdgeStore, start: Start, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index_notes(store, 1)
        monkeypatch.setenv(CHECKPOINT, "0")  # a checkpoint before each batch
        killed_while_indexing(start, BATCH * 4)
        assert (pointer(root), generations(root)) == ("000001", ["000001", "000002"])
        assert [g.state for g in store.generations(NAME)] == ["live", "unfinished"]
        embedder = FakeEmbedder()
        index_notes(store, 2, embedder=embedder)
        assert COUNT - BATCH * 4 <= embedder.embedded_passages <= COUNT - BATCH * 2
        assert editions(store) == {2}
        assert [g.state for g in store.generations(NAME)] == ["live", "previous"]

    @pytest.mark.parametrize("change", ["source", "chunker", "rebuild", "boot", "torn"])
    def test_what_was_to_become_something_else_is_cleared_away(
        self, store: EdgeStore, start: Start, root: Path, change: str
    ) -> None:
        index_notes(store, 1)
        killed_while_indexing(start, BATCH * 2)
        left = root / FOLDER / "generations" / "000002"
        (left / "left-behind").touch()
        begun = left / "begun.json"
        if change == "boot":  # the machine was restarted: nobody knows what reached the disk
            begun.write_text(begun.read_text().replace('"boot": "', '"boot": "another'))
        if change == "torn":
            begun.write_text(begun.read_text()[:10])
        made = provenance("elsewhere" if change == "source" else "notes")
        made = made.model_copy(update={"chunker": "note/2"} if change == "chunker" else {})
        with store.write(NAME, made, {}, rebuild=change in ("rebuild", "chunker")) as writer:
            assert set(writer.hashes()) == (set() if change in ("rebuild", "chunker") else set(store.hashes(NAME)))
        assert generations(root) == ["000001", "000002"]
        assert not (left / "left-behind").exists()

    def test_pruning_clears_it_away(self, store: EdgeStore, start: Start, root: Path) -> None:
        index_notes(store, 1)
        killed_while_indexing(start, BATCH * 2)
        assert [g.name for g in store.prune(NAME, keep=2)] == ["000002"]
        assert generations(root) == ["000001"]
        assert editions(store) == {1}

    def test_the_next_run_waits_for_the_search_index_of_a_killed_one(
        self, store: EdgeStore, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(edge_generations, "ORPHAN_PATIENCE_S", 0.1)
        (root / FOLDER).mkdir(parents=True)
        with FileLock(root / FOLDER / "optimising.lock"), pytest.raises(StoreLocked, match="still being built"):
            index_notes(store, 1)
        assert index_notes(store, 1).added == COUNT


def test_what_a_swap_replaced_is_gone_with_the_next_write_or_by_pruning(
    store: EdgeStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill right after the swap leaves the generation that was to be removed; a run without work leaves it too."""
    for edition in (1, 2):
        index_notes(store, edition)
    with monkeypatch.context() as killed:
        killed.setattr(edge_generations.CollectionFolder, "remove_unpublished", lambda folder: None)
        index_notes(store, 3)
    index_notes(store, 3)
    assert (pointer(root), generations(root)) == ("000003", ["000001", "000002", "000003"])
    assert [g.state for g in store.generations(NAME)] == ["live", "previous"]
    store.prune(NAME, keep=2)
    assert generations(root) == ["000002", "000003"]


def killed_while_indexing(start: Start, killed_after: int) -> None:
    writer = start("index", 2)
    wait_for(writer, str(killed_after))
    kill(writer)


def clean_build(root: Path, edition: int) -> dict[str, str]:
    store = EdgeStore(root)
    index_notes(store, edition)
    hashes = store.hashes(NAME)
    store.close()
    return hashes


def assert_missing(store: EdgeStore, *, missing: bool) -> None:
    if not missing:
        assert store.count(NAME) == COUNT
        return
    with pytest.raises(CollectionMissing):
        store.count(NAME)


class TestManyReaders:
    @pytest.mark.slow
    def test_readers_see_one_generation_at_a_time(self, store: EdgeStore, start: Start, tmp_path: Path) -> None:
        index_notes(store, 1)
        stop = tmp_path / "stop"
        readers = [start("read", stop) for _ in range(4)]
        for reader in readers:
            wait_for(reader, "1")
        for edition in (2, 3, 4, 5, 6):
            index_notes(store, edition, rebuild=edition % 2 == 0)
        for reader in readers:
            wait_for(reader, "6")
        stop.touch()
        for reader in readers:
            assert finish(reader) == []  # the last edition stays the last

    @pytest.mark.slow
    def test_many_processes_open_one_generation_at_the_same_moment(
        self, store: EdgeStore, start: Start, tmp_path: Path
    ) -> None:
        index_notes(store, 1)
        moment = tmp_path / "start"
        openers = [start("open", moment, 5) for _ in range(8)]
        for opener in openers:
            wait_for(opener, "ready")
        moment.touch()
        for opener in openers:
            assert finish(opener) == [str(COUNT)] * 5

    def test_a_reader_whose_generation_was_removed_moves_over(self, store: EdgeStore, root: Path) -> None:
        index_notes(store, 1)
        reader, seen = EdgeStore(root), list[object]()
        searching = threading.Thread(target=lambda: seen.extend(editions(reader)))
        with FileLock(root / FOLDER / "open.lock"):
            searching.start()  # it has read the pointer and waits to open the first generation
            time.sleep(0.3)
            index_notes(store, 2, rebuild=True)
            index_notes(store, 3, rebuild=True)
        searching.join(PATIENCE)
        assert generations(root) == ["000002", "000003"]
        assert seen == [3]
        reader.close()

    def test_threads_share_a_store_while_it_writes(self, store: EdgeStore) -> None:
        index_notes(store, 1)
        seen: list[set[object]] = []
        done = threading.Event()

        def search_until_done() -> None:
            while not done.is_set():
                seen.append(editions(store))

        threads = [threading.Thread(target=search_until_done) for _ in range(4)]
        for thread in threads:
            thread.start()
        index_notes(store, 2)
        index_notes(store, 3, rebuild=True)
        done.set()
        for thread in threads:
            thread.join(PATIENCE)
        assert {frozenset(found) for found in seen} <= {frozenset({edition}) for edition in (1, 2, 3)}
        assert editions(store) == {3}


if __name__ == "__main__":
    COMMANDS[sys.argv[1]](EdgeStore(Path(sys.argv[2])), *sys.argv[3:])

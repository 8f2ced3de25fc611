"""A full disk is an error that says so: never a signal that ends the process, and what is live goes on serving."""

import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from overfetch.errors import StoreUnavailable
from overfetch.indexing import encode
from overfetch.protocols import EncodedQuery
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.stores import edge_writing
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder
from overfetch.types import Chunk, Document, Passage

NAME = "test/notes"
Usage = namedtuple("Usage", "total used free")


def write(store: EdgeStore, text: str, count: int = 5) -> None:
    documents = [Document(id=f"n{n}", title="Note", text=f"{text} {n}") for n in range(count)]
    passages = [Passage.of(d, 0, Chunk(breadcrumb="", text=d.text)) for d in documents]
    with store.write(NAME, Provenance.of(FakeEmbedder().spec, "note/1", "notes"), {}) as writer:
        for start in range(0, count, 100):
            writer.upsert(encode(passages[start : start + 100], FakeEmbedder()))


def texts(store: EdgeStore) -> set[str]:
    query = EncodedQuery(FakeEmbedder().embed_queries(["edition"])[0], embed_sparse_query("edition"))
    found = store.search(NAME, query, [], RetrievalSettings(top_k=100)).candidates
    return {candidate.passage.text.partition(" ")[0] for candidate in found}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EdgeStore]:
    opened = EdgeStore(tmp_path / "store")
    yield opened
    opened.close()


def leave_free(monkeypatch: pytest.MonkeyPatch, *free: int) -> None:
    """What is free each time somebody asks; the last stays."""
    left = list(free)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(1, 1, left.pop(0) if len(left) > 1 else left[0]))


ENOUGH = 1 << 40


class TestAsIfFull:
    """The check answers: what would be written is asked for before it is."""

    @pytest.mark.parametrize("asked", range(4))
    def test_writing_says_path_and_bytes_and_leaves_what_is_live(
        self, store: EdgeStore, monkeypatch: pytest.MonkeyPatch, asked: int
    ) -> None:
        write(store, "first")
        with monkeypatch.context() as full:
            leave_free(full, *[ENOUGH] * asked, 1000)
            with pytest.raises(StoreUnavailable, match=rf"bytes are needed below {store.root}.*, and 1,000 are free"):
                write(store, "second")
        assert texts(store) == {"first"}
        write(store, "second")
        assert texts(store) == {"second"}

    def test_a_search_index_is_not_begun(self, store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(edge_writing, "OWN_PROCESS", 1)
        leave_free(monkeypatch, ENOUGH, ENOUGH, 1000)
        with pytest.raises(StoreUnavailable, match=r"cannot build the search index: .* are free"):
            write(store, "first")

    def test_a_first_search_says_so_too(self, store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
        write(store, "first")
        with monkeypatch.context() as full:
            leave_free(full, 1000)
            with pytest.raises(StoreUnavailable, match=r"cannot open the generation: .* 1,000 are free"):
                texts(store)
        assert texts(store) == {"first"}
        leave_free(monkeypatch, 1000)
        assert texts(store) == {"first"}, "what is open needs no room"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """24 MB of their own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    try:
        done = subprocess.run(mounted, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("a small disk cannot be mounted here: that needs Linux and root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, leaving: int) -> Path:
    filler = disk / "filler"
    with filler.open("wb") as file:
        file.write(bytes(shutil.disk_usage(disk).free - leaving))
    return filler


def elsewhere(command: str, disk: Path) -> str:
    """What another process says, which a signal would end."""
    line = [sys.executable, __file__, command, str(disk / "store")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])
    return done.stdout.strip()


@pytest.mark.parametrize("leaving", [0, 100_000])
def test_on_a_disk_that_is_full(small_disk: Path, leaving: int) -> None:
    fill(small_disk, leaving)
    assert elsewhere("first", small_disk).startswith("StoreUnavailable: cannot write 'test/notes'")
    (small_disk / "filler").unlink()
    assert elsewhere("first", small_disk) == "written"
    filler = fill(small_disk, leaving)
    for command in ("search", "second"):
        said = elsewhere(command, small_disk)
        assert said.startswith("StoreUnavailable: cannot ")
        assert str(small_disk) in said
    filler.unlink()
    assert elsewhere("search", small_disk) == "{'first'}"
    assert elsewhere("second", small_disk) == "written"


def test_a_run_that_fills_the_disk_ends_in_an_error(small_disk: Path) -> None:
    said = elsewhere("much", small_disk)
    assert said.startswith("StoreUnavailable: cannot ")
    assert "bytes are needed below" in said


def _run(command: str, root: str) -> None:
    store = EdgeStore(Path(root))
    try:
        if command == "search":
            said = str(texts(store))
        else:
            write(store, "\N{SNOWMAN}" * 5_000 if command == "much" else command, 2_000 if command == "much" else 5)
            said = "written"
    except StoreUnavailable as error:
        said = f"StoreUnavailable: {error}"
    sys.stdout.write(said)


if __name__ == "__main__":
    _run(*sys.argv[1:])

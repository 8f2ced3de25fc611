"""What may only be read is searched: nothing need be written to find something."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from overfetch.errors import StoreUnavailable
from overfetch.indexing import encode
from overfetch.inference.caching import ScoreCache, Scored, ScoreFile, Scores
from overfetch.protocols import EncodedQuery
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder
from overfetch.types import Chunk, Document, Passage

NAME = "test/notes"
SCORES: Scores = {("m", 1, True, b"q", b"p"): Scored(0.5, 0)}


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A store and a file of scores, mounted so that nobody, not even root, may write."""
    written, mounted = tmp_path / "written", tmp_path / "mounted"
    mounted.mkdir()
    store = EdgeStore(written / "store")
    passage = Passage.of(Document(id="n", title="Note", text="a note"), 0, Chunk(breadcrumb="", text="a note"))
    with store.write(NAME, Provenance.of(FakeEmbedder().spec, "note/1", "notes"), {}) as writer:
        writer.upsert(encode([passage], FakeEmbedder()))
    store.close()
    ScoreFile(written / "scores.db").keep(SCORES)
    try:
        bound = subprocess.run(["mount", "--bind", written, mounted], capture_output=True, check=False).returncode == 0
    except OSError:
        bound = False
    if not bound:
        pytest.skip("nothing can be mounted here: that needs Linux and root")
    subprocess.run(["mount", "-o", "remount,bind,ro", mounted], check=True)
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


def search(store: EdgeStore) -> list[str]:
    query = EncodedQuery(FakeEmbedder().embed_queries(["note"])[0], embed_sparse_query("note"))
    return [c.passage.text for c in store.search(NAME, query, [], RetrievalSettings()).candidates]


def test_a_store_is_searched_and_verified(read_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = EdgeStore(read_only / "store")
    assert search(store) == search(store) == ["a note"]
    assert store.count(NAME) == 1
    assert [v.problem for v in store.verify(NAME)] == [None]
    assert len(list(tmp_path.glob("overfetch-*"))) == 1
    with pytest.raises(StoreUnavailable, match="cannot write"), store.write(NAME, store.provenance(NAME), {}):
        pass
    store.close()
    assert not list(tmp_path.glob("overfetch-*")), "the copy goes with the store"


def test_remembered_scores_are_read(read_only: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = ScoreCache(0, ScoreFile(read_only / "scores.db"))
    assert cache.find(list(SCORES)) == list(SCORES.values())
    cache.keep({("m", 1, True, b"q", b"other"): Scored(0.5, 0)})
    assert not caplog.text

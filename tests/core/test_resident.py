"""What an opened collection keeps in memory: a small one what was read of it, a large one its vectors."""

import json
import re
from pathlib import Path

import pytest

from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker
from overfetch.types import Chunk

SMAPS = Path("/proc/self/smaps")


def opened(root: Path, count: int) -> Engine:
    """A site of so many notes, indexed in a store of its own."""
    source = root / "notes.jsonl"
    source.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps({"_id": f"n{n}", "title": f"Note {n}", "text": f"{n} rains", "kind": "note"}) for n in range(count)
    ]
    source.write_text("\n".join(lines))
    notes = Collection(
        name="notes",
        sample=source,
        fields=FieldMap(metadata={"kind": ("kind",)}),
        chunk=lambda document: [Chunk(breadcrumb=document.title, text=document.text)],
        chunker="note/1",
        answering="nowhere:answer",
        filters={"kind": "keyword"},
        retrieval=RetrievalSettings(top_k=5),
    )
    site = Site(name="mine", title="Mine", collections=(notes,), ask="notes")
    engine = Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=EdgeStore(root / "store"))
    engine.index("notes")
    return engine


def megabytes_mapped_below(folder: Path) -> float:
    """Of files below the folder, in memory of this process."""
    kilobytes, path = 0, ""
    for line in SMAPS.read_text().splitlines():
        if header := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)", line):
            path = header[1]
        elif line.startswith("Rss:") and path.startswith(str(folder.resolve())):
            kilobytes += int(line.split()[1])
    return kilobytes / 1024


@pytest.mark.skipif(not SMAPS.exists(), reason="only Linux tells which pages of which file are in memory")
def test_of_a_small_collection_only_what_was_read_is_in_memory(tmp_path: Path) -> None:
    engine = opened(tmp_path, 100)
    found = engine.search("notes", "7 rains", where=["kind=note"], rerank=False)
    assert found.hits[0].passage.document_id == "n7"
    assert 0 < megabytes_mapped_below(tmp_path) < 4, "opened, its files are 40 MB, most of them holes"


def vector_memory(root: Path) -> str:
    config = json.loads(next(root.glob("store/*/generations/*/shard/edge_config.json")).read_text())
    return str(config["vectors"]["dense"]["memory"])


def test_vectors_that_get_a_search_index_are_kept_in_memory(tmp_path: Path) -> None:
    opened(tmp_path / "small", 10)
    opened(tmp_path / "large", 1_200)
    assert vector_memory(tmp_path / "small") == "cold"
    assert vector_memory(tmp_path / "large") == "cached"

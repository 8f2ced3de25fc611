"""What an indexing run reports beyond the store contract."""

from pathlib import Path

from overfetch import Engine, load_site
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore


def canon(embedder: FakeEmbedder) -> Engine:
    return Engine(load_site("sagedaily"), embedder=embedder, reranker=FakeReranker(), store=FakeStore())


def entry(folder: Path, words: int) -> Path:
    source = folder / "entry.md"
    source.write_text(f"---\ntitle: Star\nwork: Notes\n---\n{'light ' * words}")
    return source


def test_passages_beyond_the_model_s_limit_are_counted_and_stored_whole(tmp_path: Path) -> None:
    embedder = FakeEmbedder()
    embedder.spec = embedder.spec.model_copy(update={"max_tokens": 10})
    engine = canon(embedder)
    report = engine.index("canon", entry(tmp_path, 20))
    assert report.truncated_tokens == 2 + 20 - 10  # title and work are read too
    assert engine.search("canon", "light").hits[0].passage.text == " ".join(["light"] * 20)


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    canon(FakeEmbedder()).index("canon", entry(tmp_path, 600), progress=lambda done, total: steps.append((done, total)))
    assert steps[-1][0] == steps[-1][1] > 1

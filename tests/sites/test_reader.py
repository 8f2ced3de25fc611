"""The cross-encoder of the reader profile: its package is optional, its files are pinned, and it orders by meaning."""

from importlib.util import find_spec

import onnx
import pytest

from overfetch import open_reranker
from overfetch.environment import read_environment
from overfetch.errors import ModelNotPrepared
from overfetch.inference.checksums import require_sums
from overfetch.inference.preparing import prepared_folder
from overfetch.models import find_profile

PROFILE = find_profile("reader")
SPEC = PROFILE.reranker
HOSTS_TAKE = 100e6  # bytes a file
BUILDER = "The builder opens any file and writes to it; nobody has to confirm what it does."
GUEST = "The guest is told to ask before it opens a file, and again before it writes to it."
installed = pytest.mark.skipif(
    find_spec("overfetch_reader") is None, reason="needs overfetch-reader, which nothing brings: uv sync --extra reader"
)


def test_it_searches_what_mini_wrote() -> None:
    assert PROFILE.embedder == find_profile("mini").embedder


def test_without_its_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("overfetch.inference.packaged.find_spec", lambda name: None)
    with pytest.raises(ModelNotPrepared, match=r"overfetch-reader ships in the package .*: uv add overfetch-reader"):
        open_reranker("reader").score("query", ["passage"])


@installed
def test_the_weights_are_the_pinned_ones() -> None:
    folder = prepared_folder(SPEC, read_environment().cache)
    require_sums(SPEC, folder, SPEC.files)
    assert {path.name for path in folder.iterdir()} == set(SPEC.files)
    assert SPEC.revision == SPEC.files["model.onnx"][:12]
    assert b"site-packages" not in (folder / "model.onnx").read_bytes(), "a folder of the machine that made them"
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    named = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    assert named == {name for name in SPEC.files if name.startswith("weights-")}
    assert max(path.stat().st_size for path in folder.iterdir()) < HOSTS_TAKE


@installed
@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "right", "near"),
    [
        ("which agent may write without being asked", BUILDER, GUEST),
        ("who has to be asked twice", GUEST, BUILDER),
    ],
)
def test_what_is_meant_comes_first(query: str, right: str, near: str) -> None:
    unrelated = "Bake the bread for forty minutes until the crust is brown."
    best, second, last = open_reranker("reader").score(query, [right, near, unrelated]).logits
    assert best > second > last

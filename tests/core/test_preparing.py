"""From a pinned model to prepared files: verified, whole or not there at all, and never made twice."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from overfetch.backends import load_reranker
from overfetch.environment import Environment
from overfetch.errors import ModelError, ModelMismatch, ModelNotPrepared, SettingsError
from overfetch.inference import preparing
from overfetch.inference.checksums import sha256
from overfetch.inference.classifier import TransformersReranker
from overfetch.inference.hub import HubReranker
from overfetch.inference.onnx import OnnxReranker
from overfetch.inference.preparing import MANIFEST, SOURCE, prepare, prepared_folder, verify
from overfetch.models import ModelSpec, read_models

FILES = {"model.onnx": b"graph", "tokenizer.json": b"{}"}


class FakeHub:
    """The hub's client, serving files from memory; `published` are the sums that it claims."""

    def __init__(self, files: dict[str, bytes], published: dict[str, str]) -> None:
        self.files = files
        self.published = published
        self.asked: list[tuple[str, str]] = []

    def model_info(self, repo: str, *, revision: str, files_metadata: bool) -> SimpleNamespace:
        assert files_metadata
        large = [SimpleNamespace(rfilename=n, lfs=SimpleNamespace(sha256=s)) for n, s in self.published.items()]
        return SimpleNamespace(siblings=[*large, SimpleNamespace(rfilename="config.json", lfs=None)])

    def download(self, repo: str, *, revision: str, local_dir: Path, **_: object) -> None:
        self.asked.append((repo, revision))
        local_dir.mkdir()
        for name, content in self.files.items():
            (local_dir / name).parent.mkdir(exist_ok=True)
            (local_dir / name).write_bytes(content)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tiny_reranker: Path) -> FakeHub:
    """With the tiny classifier."""
    from overfetch.inference import fetching

    fake = FakeHub(
        {path.name: path.read_bytes() for path in tiny_reranker.iterdir()},
        {"model.safetensors": sha256(tiny_reranker / "model.safetensors"), "onnx/model.onnx": "0" * 64},
    )
    monkeypatch.setattr(fetching, "HfApi", lambda: fake)
    monkeypatch.setattr(fetching, "snapshot_download", fake.download)
    return fake


@pytest.fixture
def graphs(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    """A hub of finished graphs: what preparing does around an export."""
    from overfetch.inference import quantising

    def export(source: Path, spec: ModelSpec, target: Path) -> None:
        for name in FILES:
            (target / name).write_bytes((source / name).read_bytes())

    hub.files, hub.published = FILES, {}
    monkeypatch.setattr(quantising, "export", export)
    return hub


@pytest.fixture
def spec(graphs: FakeHub, make_spec: Any) -> ModelSpec:
    made: ModelSpec = make_spec("reranker")
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def left_behind(cache: Path) -> list[str]:
    """Everything below the cache but lock files."""
    return sorted(p.name for p in (cache / "models").iterdir() if p.suffix != ".lock")


def test_a_manifest_stands_beside_what_was_prepared(spec: ModelSpec, cache: Path) -> None:
    folder = prepare(spec, cache)
    assert folder == prepared_folder(spec, cache)
    assert sorted(path.name for path in folder.iterdir()) == sorted([MANIFEST, SOURCE, *FILES])
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["model"] == spec.identity
    assert manifest["files"] == verify(spec, cache)
    assert set(manifest["files"]) == {*FILES, *(f"{SOURCE}/{name}" for name in FILES)}


@pytest.mark.parametrize("failure", [RuntimeError("disk"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_and_the_next_run_works(
    failure: BaseException, spec: ModelSpec, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(preparing, "_write_manifest", fail)
        with pytest.raises(type(failure)):
            prepare(spec, cache)
    assert left_behind(cache) == []
    assert (prepare(spec, cache) / MANIFEST).exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from overfetch.inference.preparing import prepare
from overfetch.models import ModelSpec
spec = ModelSpec.model_validate_json(sys.argv[1])
prepare(spec, Path(sys.argv[2]), lambda message: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_kill_leaves_nothing_usable_and_the_next_run_clears_up(spec: ModelSpec, cache: Path) -> None:
    command = [sys.executable, "-c", KILLED, spec.model_dump_json(), str(cache)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert [name.startswith("partial-") for name in left_behind(cache)] == [True]
    with pytest.raises(ModelNotPrepared):
        prepared_folder(spec, cache)
    folder = prepare(spec, cache)
    assert left_behind(cache) == [folder.name]
    assert set(FILES) < set(verify(spec, cache))


def test_a_second_run_does_nothing(spec: ModelSpec, cache: Path, graphs: FakeHub) -> None:
    first = prepare(spec, cache)
    stamp = (first / MANIFEST).stat().st_mtime_ns
    graphs.files = {}
    steps: list[str] = []
    assert prepare(spec, cache, steps.append) == first
    assert steps == []
    assert (first / MANIFEST).stat().st_mtime_ns == stamp


def test_a_second_run_writes_nothing(spec: ModelSpec, cache: Path, graphs: FakeHub) -> None:
    """As where the cache may only be read."""
    prepare(spec, cache)
    folder = prepared_folder(spec, cache)
    lock = folder.with_name(f"{folder.name}.lock")
    lock.unlink(missing_ok=True)
    assert prepare(spec, cache) == folder
    assert not lock.exists()


def test_callers_at_the_same_moment_prepare_once(spec: ModelSpec, cache: Path) -> None:
    steps: list[str] = []
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: prepare(spec, cache, steps.append), range(8)))
    assert len(folders) == 1
    assert [step.split()[0] for step in steps] == ["fetching", "exporting"]


def test_revisions_and_precisions_never_mix(spec: ModelSpec, cache: Path) -> None:
    others = [{"revision": "fedcba9876543210"}, {"precision": "int8"}, {"name": "other"}]
    folders = {prepare(spec.model_copy(update=change), cache) for change in [{}, *others]}
    assert len(folders) == 4


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_verify_finds_what_changed_since(damage: str, spec: ModelSpec, cache: Path) -> None:
    folder = prepare(spec, cache)
    assert verify(spec, cache)["tokenizer.json"] == sha256(folder / "tokenizer.json")
    (folder / "tokenizer.json").unlink()
    if damage == "changed":
        (folder / "tokenizer.json").write_bytes(b"{ }")
    with pytest.raises(ModelMismatch, match=f"{folder}/tokenizer.json (has sha256|is missing)"):
        verify(spec, cache)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]"])
def test_verify_names_a_damaged_manifest(content: str, spec: ModelSpec, cache: Path) -> None:
    (prepare(spec, cache) / MANIFEST).write_text(content)
    with pytest.raises(ModelMismatch, match=r"manifest\.json is damaged; remove .* and prepare again"):
        verify(spec, cache)


def test_not_prepared_names_the_command(spec: ModelSpec, cache: Path) -> None:
    for find in (prepared_folder, verify):
        with pytest.raises(ModelNotPrepared, match=r"run `overfetch models prepare tiny-reranker`.*--profile mini"):
            find(spec, cache)


def test_an_unusable_cache_is_a_model_error(spec: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ModelError, match="cannot prepare tiny-reranker in "):
        prepare(spec, tmp_path / "cache")


def test_an_unreachable_hub_names_model_revision_and_alternative(cache: Path) -> None:
    spec = read_models()[0]["bge-reranker-base"]
    with pytest.raises(ModelError) as refused:
        prepare(spec, cache)
    message = str(refused.value)
    assert "\n" not in message
    for part in (spec.name, spec.repo, spec.revision, "offline alternative: --profile mini"):
        assert part in message
    assert left_behind(cache) == []


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_hub_model_is_fetched_at_its_pin_and_exported(
    precision: str, hub: FakeHub, make_spec: Any, cache: Path
) -> None:
    spec = make_spec("reranker", precision=precision)
    steps: list[str] = []
    folder = prepare(spec, cache, steps.append)
    assert hub.asked == [(spec.repo, spec.revision)]
    assert [step.split()[0] for step in steps] == ["fetching", "exporting"]
    assert verify(spec, cache)["source/model.safetensors"] == hub.published["model.safetensors"]
    scores = [OnnxReranker(folder, spec).score("the tower", [text]).logits[0] for text in ("a star", "rain " * 30)]
    assert abs(scores[0] - scores[1]) > 0.1


def test_both_backends_read_what_was_prepared(hub: FakeHub, make_spec: Any, cache: Path) -> None:
    spec = make_spec("reranker")
    folder = prepare(spec, cache)
    passages = ["a star", "the tower falls", "rain " * 30]
    onnx = OnnxReranker(folder, spec).score("the tower", passages).logits
    torch = HubReranker(folder / SOURCE, spec).score("the tower", passages).logits
    assert onnx == pytest.approx(torch, abs=1e-4)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [("onnx", OnnxReranker), ("torch", HubReranker), ("transformers", TransformersReranker), ("auto", OnnxReranker)],
)
def test_the_backend_is_a_setting(
    backend: str, kind: type, hub: FakeHub, make_spec: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overfetch.environment.NVIDIA_DRIVER", cache / "no such driver")
    spec = make_spec("reranker")
    prepare(spec, cache)
    environment = Environment.model_validate({"cache": cache, "backend": backend})
    assert isinstance(load_reranker(spec, environment), kind)


@pytest.mark.skipif(find_spec("FlagEmbedding") is not None, reason="FlagEmbedding is installed")
def test_a_backend_that_is_not_installed_says_how(hub: FakeHub, make_spec: Any, cache: Path) -> None:
    spec = make_spec("reranker")
    prepare(spec, cache)
    with pytest.raises(SettingsError, match=r"uv pip install 'FlagEmbedding>=1\.4\.1'"):
        load_reranker(spec, Environment(cache=cache, backend="flagembedding"))


@pytest.mark.parametrize("backend", ["torch", "transformers"])
def test_weights_that_changed_are_not_read(backend: Any, hub: FakeHub, make_spec: Any, cache: Path) -> None:
    spec = make_spec("reranker")
    weights = prepare(spec, cache) / SOURCE / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(ModelMismatch, match=f"tiny-reranker: {weights} has sha256 .*, pinned is "):
        load_reranker(spec, Environment(cache=cache, backend=backend))


def test_a_flipped_bit_is_found_before_it_serves(hub: FakeHub, make_spec: Any, cache: Path) -> None:
    spec = make_spec("reranker")
    graph = prepare(spec, cache) / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    with pytest.raises(ModelMismatch, match=f"tiny-reranker: {graph} has sha256 .*, pinned is "):
        load_reranker(spec, Environment(cache=cache))


def test_a_chain_that_no_export_knows_is_refused(hub: FakeHub, make_spec: Any, cache: Path) -> None:
    modules = ({"path": "", "type": "st.Transformer"}, {"path": "1_Pooling", "type": "st.Pooling"})
    hub.files["modules.json"] = json.dumps(modules).encode().replace(b"st.", b"sentence_transformers.models.")
    hub.files["1_Pooling/config.json"] = b'{"word_embedding_dimension": 32, "pooling_mode_max_tokens": true}'
    with pytest.raises(ModelError, match=r"tiny-embedder: .*modules\.json has a chain that no export knows"):
        prepare(make_spec("embedder"), cache)
    assert left_behind(cache) == []


def test_a_file_that_arrived_damaged_is_refused(hub: FakeHub, make_spec: Any, cache: Path) -> None:
    hub.files["model.safetensors"] = b"weight"
    with pytest.raises(ModelMismatch, match=r"model\.safetensors has sha256 .*, pinned is "):
        prepare(make_spec("reranker"), cache)
    assert left_behind(cache) == []


def test_pinned_sums_outweigh_what_the_hub_publishes(hub: FakeHub, make_spec: Any, cache: Path) -> None:
    spec = make_spec("reranker", files={"config.json": "0" * 64})
    with pytest.raises(ModelMismatch, match=r"config\.json has sha256 .*, pinned is 0000"):
        prepare(spec, cache)

"""What a newcomer installs: no torch, no framework, an answer all the same; what is missing names its command."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {
    "torch",
    "transformers",
    "sentence-transformers",
    "onnx",
    "qdrant-client",
    "grpcio",
    "dspy",
    "litellm",
    "pytest",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv on the path to install"),
]


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment as the README's first command makes it."""
    environment = tmp_path_factory.mktemp("light") / "environment"
    uv("sync", "-q", "--locked", "--no-default-groups", UV_PROJECT_ENVIRONMENT=str(environment))
    return environment


def uv(*arguments: str, **variables: str) -> str:
    known = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = ["uv", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=known | variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def overfetch(light: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """As the tests' own environment has it: a store of its own."""
    command: Sequence[str] = [str(light / "bin/overfetch"), *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=240)


def test_it_is_light(light: Path) -> None:
    listed = uv("pip", "list", "-q", "--python", str(light)).split()
    assert HEAVY.isdisjoint(listed)
    assert {"overfetch", "overfetch-mini", "builddaily", "onnxruntime", "qdrant-edge-py"} <= set(listed)


def test_it_indexes_reads_and_answers(light: Path) -> None:
    asked = overfetch(light, "ask", "sagedaily", "What does the Tower say?", "--part", "The Tower, reversed")
    assert asked.returncode == 0, asked.stderr
    assert "rerank: full" in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "extra"),
    [
        (["eval", "sagedaily/canon"], {}, "eval"),
        (["tune", "sagedaily/canon"], {}, "tune"),
        (["bench", "rerank"], {}, "hub"),
        (["search", "sagedaily", "tower"], {"OVERFETCH_QDRANT": "http://127.0.0.1:9"}, "server"),
    ],
)
def test_a_missing_extra_names_its_command(
    light: Path, arguments: list[str], variables: dict[str, str], extra: str
) -> None:
    refused = overfetch(light, *arguments, **variables)
    assert refused.returncode == 2
    assert f"uv add 'overfetch[{extra}]', or in a clone: uv run --extra {extra} overfetch ..." in refused.stderr
    assert "Traceback" not in refused.stderr


def test_web_pages_name_their_extra_and_can_be_left_out(light: Path, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>a page</p>", encoding="utf-8")
    (tmp_path / "b.md").write_text("---\ntitle: A page\n---\nits text", encoding="utf-8")
    index = ("index", "builddaily/resources", "--source", str(tmp_path), "--dry-run")
    refused = overfetch(light, *index)
    assert refused.returncode == 1
    assert "a.html: HTML is read with the extra html: " in refused.stderr
    assert "uv add 'overfetch[html]', or in a clone: uv run --extra html overfetch ..." in refused.stderr
    assert overfetch(light, *index, "--skip-bad").returncode == 0


def test_without_dspy_a_language_model_costs_the_writing_only(light: Path) -> None:
    asked = overfetch(light, "ask", "sagedaily", "What does the Tower say?", "--json", OVERFETCH_LM="openai/any")
    assert asked.returncode == 0, asked.stderr
    assert '"mode": "extractive"' in asked.stdout
    assert "uv add 'sagedaily[answers]', or in a clone: uv run --extra answers overfetch ..." in asked.stdout


def test_compiling_names_what_it_needs(light: Path) -> None:
    refused = overfetch(light, "compile", "sagedaily/canon", "--lm", "openai/any")
    assert refused.returncode == 2
    assert "uv add overfetch-answers" in refused.stderr


def test_the_core_alone_stands_without_a_model(tmp_path: Path) -> None:
    """As `uv add overfetch` installs it: no site, no weights; what needs a model says where they are."""
    environment = tmp_path / "alone"
    uv("sync", "-q", "--locked", "--package", "overfetch", UV_PROJECT_ENVIRONMENT=str(environment))
    listed = uv("pip", "list", "-q", "--python", str(environment)).split()
    assert HEAVY.isdisjoint(listed)
    assert "overfetch-mini" not in listed
    assert overfetch(environment, "sites").returncode == 0
    assert "overfetch-mini  reranker" in overfetch(environment, "models", "list").stdout
    code = "import overfetch; overfetch.open_reranker('mini').score('query', ['passage'])"
    asked = subprocess.run([environment / "bin/python", "-c", code], capture_output=True, text=True, check=False)
    assert "overfetch-mini ships in the package overfetch-mini: uv add overfetch-mini" in asked.stderr

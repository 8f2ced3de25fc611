"""What is heavy is imported on use: each check runs in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "dspy",
    "litellm",
    "qdrant_client",
    "onnxruntime",
    "llama_index",
)
PROGRAM = """
import runpy, sys
sys.argv = ["overfetch", *sys.argv[1:]]
try:
    runpy.run_path(PATH, run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
"""


def imported_by(code: str, *arguments: str) -> set[str]:
    """Which heavy packages are loaded when the code has run."""
    ending = f"\nimport sys\nprint('loaded:', *(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    command = [sys.executable, "-c", code + ending, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return set(result.stderr.splitlines()[-1].removeprefix("loaded:").split())


def program(*arguments: str) -> set[str]:
    return imported_by(PROGRAM.replace("PATH", repr(str(Path(sys.executable).parent / "overfetch"))), *arguments)


@pytest.mark.parametrize("module", ["overfetch", "overfetch.cli.main", "builddaily", "paiddaily", "sagedaily"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert imported_by(f"import {module}") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["sites"], ["sites", "--json"], ["models", "list"]])
def test_commands_without_a_model_load_nothing_heavy(arguments: list[str]) -> None:
    assert program(*arguments) == set()


def test_opening_and_reading_a_site_loads_nothing_heavy() -> None:
    code = "import overfetch\nwith overfetch.open_site('sagedaily') as engine: engine.site.collections[0].read()"
    assert imported_by(code) == set()


def test_a_dry_run_on_the_embedded_store_loads_no_model() -> None:
    assert program("index", "sagedaily", "--dry-run") == set()


def test_the_check_would_notice() -> None:
    assert imported_by("import onnxruntime") == {"onnxruntime"}

"""What is heavy is imported on use: each check runs in a process of its own."""

import sys
from pathlib import Path

import pytest

from overfetch.testing import HEAVY, SLOW, imported_by

PROGRAM = """
import runpy, sys
sys.argv = ["overfetch", *sys.argv[1:]]
try:
    runpy.run_path(PATH, run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
"""


def program(*arguments: str, watched: tuple[str, ...] = HEAVY) -> set[str]:
    path = str(Path(sys.executable).parent / "overfetch")
    return imported_by(PROGRAM.replace("PATH", repr(path)), *arguments, watched=watched)


@pytest.mark.parametrize("module", ["overfetch", "overfetch.cli.main"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert imported_by(f"import {module}") == set()


@pytest.mark.parametrize("module", ["overfetch", "overfetch.cli.main"])
def test_importing_loads_nothing_that_takes_its_time(module: str) -> None:
    assert imported_by(f"import {module}", watched=SLOW) == set()


def test_help_loads_nothing_that_takes_its_time() -> None:
    assert program("--help", watched=SLOW) == set()


def test_many_threads_may_use_a_model_first() -> None:
    """Their schemas are built on first use (`defer_build`)."""
    code = """
import sys, threading
sys.setswitchinterval(1e-6)
from overfetch import AskRequest, Hit, Passage, SearchRequest
from overfetch.types import Timings
failed = []
def use():
    try:
        SearchRequest.of("query", where=["sector=DeFi"], top_k=3)
        AskRequest.of("question", history=["before"], parts=["part"])
        text = {"id": "1", "document_id": "a", "title": "", "breadcrumb": "", "text": "", "position": 0, "metadata": {}}
        Hit(rank=1, passage=Passage(**text), first_stage_rank=1, first_stage_score=1).model_dump_json()
        Timings(embed=1, search=1, rerank=1, total=3).model_dump()
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=use) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failed, failed
"""
    for _ in range(5):
        imported_by(code)


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

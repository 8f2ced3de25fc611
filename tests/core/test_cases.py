"""Inputs of public reports (`../shared/cases`), each tried by its own program, which says PASS or what it saw.

Forking and language models are tested elsewhere (test_forking.py, answers/test_replies.py): `../shared/cases/run` tries
all.
"""

import os
import runpy
from pathlib import Path

import pytest

CASES = Path(__file__).parents[2].parent / "shared/cases"
ELSEWHERE = ("-fork-", "-llm-")
PROGRAMS = sorted(path for path in CASES.glob("*/run.py") if not any(map(path.parent.name.count, ELSEWHERE)))


@pytest.mark.skipif(not PROGRAMS, reason="../shared/cases is not here")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.parent.name)
def test_it_comes_out_right(program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)  # so that what a program sets is undone
    runpy.run_path(str(program), run_name="__main__")
    assert capsys.readouterr().out.splitlines()[-1].startswith("PASS")

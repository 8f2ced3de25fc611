"""Inputs of public reports (`../shared/cases`), each tried by its own program, which says PASS or what it saw.

Forking and language models are tested elsewhere (test_forking.py, answers/test_replies.py): `../shared/cases/run` tries
all.
"""

import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).parents[2].parent / "shared/cases"
ELSEWHERE = ("-fork-", "-llm-")
PROGRAMS = sorted(path for path in CASES.glob("*/run.py") if not any(map(path.parent.name.count, ELSEWHERE)))


@pytest.mark.skipif(not PROGRAMS, reason="../shared/cases is not here")
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.parent.name)
def test_it_comes_out_right(program: Path) -> None:
    run = subprocess.run([sys.executable, "-B", str(program)], capture_output=True, text=True, timeout=120)
    assert run.stdout.splitlines()[-1:] == ["PASS"], run.stdout + run.stderr

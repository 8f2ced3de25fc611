"""The crash test of tests/bench/crash.py in small: what it checks is said there."""

from pathlib import Path

import pytest
from crash import CANON, Plan, run


@pytest.mark.slow
def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    plan = Plan(tmp_path / "collections", CANON.sample, documents=60, dimension=64, readers=2)
    figures = run(plan, rounds=5, seed=11)
    assert sum(figures["killed_while"].values()) == 5
    assert figures["searches"] > 0

"""The check of tests/bench/look_ahead.py in small: nothing of later days shows, and what would show is noticed."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import look_ahead
import pytest
from look_ahead import run

from overfetch import DateRange, Environment, Workspace, pipeline

pytestmark = pytest.mark.slow
SMALL = argparse.Namespace(pairs=40, moments=2, asked=6, seed=3)


@pytest.fixture
def workspace(tmp_path: Path, session_cache: Path) -> Iterator[Workspace]:
    with Workspace(Environment(qdrant=f"file:{tmp_path}", cache=session_cache, lm=None)) as opened:
        yield opened


def test_nothing_of_later_days_shows(workspace: Workspace) -> None:
    rows = {row.way: row for row in run(workspace, {"sample": []}, SMALL)}
    assert sum(row.pairs for row in rows.values()) == SMALL.pairs
    assert all(row.pairs for row in rows.values())
    assert [(row.text, row.order) for row in rows.values()] == [(0, 0), (0, 0)]


def test_statistics_of_what_is_hidden_are_noticed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "KnownBy", DateRange)
    monkeypatch.setattr(look_ahead, "TRIES", 1)  # to be told soon
    assert sum(row.order for row in run(workspace, {"sample": []}, SMALL)) > 0


def test_what_was_not_known_is_noticed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "KnownBy", lambda field, end: DateRange(field="date", end=end))
    assert sum(row.text for row in run(workspace, {"sample": []}, SMALL)) > 0

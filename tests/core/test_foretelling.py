"""How long a run over queries will take is said by its first few, on standard error."""

import io
import time

import pytest

from overfetch.cli import progress
from overfetch.cli.progress import progress_bar, query_progress
from overfetch.cli.terminal import Terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def run(clock: list[float], queries: int, *, seconds: float, loading: float = 0.0) -> None:
    """Each query takes so long, the first one also what is loaded for it."""
    with query_progress("evaluating") as show:
        clock[0] += loading
        for done in range(1, queries + 1):
            clock[0] += seconds
            show(done, queries)


@pytest.mark.parametrize(
    ("queries", "seconds", "told"),
    [(160, 1.2, "about 3 min"), (160, 0.02, "a few seconds"), (50, 1.0, "about 40 s")],
)
def test_it_is_said_at_the_start(
    clock: list[float], capsys: pytest.CaptureFixture[str], queries: int, seconds: float, told: str
) -> None:
    run(clock, queries, seconds=seconds)
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines()[0] == f"evaluating: 5 of {queries}, {told} left"


def test_what_is_loaded_for_the_first_query_does_not_count(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run(clock, 100, seconds=1.0, loading=60)
    assert capsys.readouterr().err.splitlines()[:2] == [
        "evaluating: 1 of 100",
        "evaluating: 5 of 100, about 2 min left",
    ]


def test_it_is_refined_while_it_runs(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    run(clock, 100, seconds=2.0)
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "evaluating: 5 of 100, about 3 min left"
    assert "evaluating: 80 of 100, about 40 s left" in told
    assert told[-1] == "evaluating: 100 of 100"


def test_somebody_who_watches_a_bar_is_told_once(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    terminal = Terminal(stderr=True)
    terminal.file, terminal._force_terminal = io.StringIO(), True
    monkeypatch.setattr(progress, "notices", terminal)
    monkeypatch.setattr(progress, "notice", told.append)
    run(clock, 100, seconds=20.0)
    assert told == ["evaluating: 5 of 100, about 30 min left"]


def test_what_is_over_at_once_and_what_counts_no_queries_is_not_foretold(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    run(clock, 5, seconds=0.1)
    with progress_bar("indexing") as show:
        for done in range(1, 20):
            clock[0] += 0.1
            show(done, 20)
    assert capsys.readouterr().err == ""

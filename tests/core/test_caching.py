"""Remembered scores: bounded, shared between processes where a file is named, and never a reason to fail."""

import logging
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from overfetch.inference.caching import ScoreCache, Scored, ScoreFile, keys_of

PASSAGES = ["a star", "the tower", "\udcff lone surrogate"]
SCORED = [Scored(0.1 + number, number) for number in range(3)]


@pytest.fixture
def keys(make_spec: Any) -> Any:
    return keys_of(make_spec("reranker"), "which star", PASSAGES, True)


def test_what_was_used_last_stays(keys: Any) -> None:
    cache = ScoreCache(2)
    for key, scored in zip(keys, SCORED, strict=True):
        cache.keep({key: scored})
    assert cache.find(keys) == [None, *SCORED[1:]]


def test_a_cache_without_room_remembers_nothing(keys: Any) -> None:
    cache = ScoreCache(0)
    cache.keep({keys[0]: SCORED[0]})
    assert cache.find(keys) == [None] * 3


def test_a_file_serves_the_next_process(keys: Any, tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "new folder/scores.db")
    ScoreCache(0, file).keep(dict(zip(keys[:2], SCORED[:2], strict=True)))
    script = (
        "import sys; from pathlib import Path; from overfetch.inference.caching import *\n"
        "print(ScoreCache(10, ScoreFile(Path(sys.argv[1]))).find(eval(sys.argv[2])))"
    )
    run = [sys.executable, "-c", script, str(file.path), repr(keys)]
    found = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert found.strip() == str([*SCORED[:2], None])


def test_other_models_limits_and_ways_of_reading_do_not_mix(make_spec: Any, tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.db")
    file.keep({keys_of(make_spec("reranker"), "q", ["p"], True)[0]: SCORED[0]})
    others = [
        keys_of(make_spec("reranker", revision="another"), "q", ["p"], True),
        keys_of(make_spec("reranker", precision="int8"), "q", ["p"], True),
        keys_of(make_spec("reranker", max_tokens=7), "q", ["p"], True),
        keys_of(make_spec("reranker"), "q", ["p"], False),
        keys_of(make_spec("reranker"), "p", ["q"], True),
    ]
    assert [file.find(key) for key in others] == [{}] * len(others)


def test_a_file_is_bounded(make_spec: Any, tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.db", entries=10)
    keys = keys_of(make_spec("reranker"), "q", [str(number) for number in range(25)], True)
    for key in keys:
        file.keep({key: SCORED[0]})
    assert set(file.find(keys)) == set(keys[-10:])


def test_threads_and_repeated_scores(keys: Any, tmp_path: Path) -> None:
    file = ScoreFile(tmp_path / "scores.db")
    scores = dict(zip(keys, SCORED, strict=True))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: file.keep(scores), range(40)))
        assert all(found == scores for found in pool.map(lambda _: file.find(keys), range(40)))


@pytest.mark.parametrize("damage", ["no database", "locked", "a folder"])
def test_a_file_that_fails_is_logged_and_costs_nothing_else(
    damage: str, keys: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, holder = tmp_path / "scores.db", None
    monkeypatch.setattr("overfetch.inference.caching.PATIENCE_S", 0.05)
    if damage == "a folder":
        path.mkdir()
    elif damage == "no database":
        path.write_bytes(b"no database " * 100)
    else:
        ScoreFile(path).find(keys)
        holder = sqlite3.connect(path)
        holder.execute("BEGIN EXCLUSIVE")
    cache = ScoreCache(10, ScoreFile(path))
    with caplog.at_level(logging.WARNING):
        cache.keep({keys[0]: SCORED[0]})
        assert cache.find(keys) == [SCORED[0], None, None]
    assert str(path) in caplog.text
    if holder is not None:
        holder.close()


@pytest.mark.parametrize("damage", ["NULL", "'high'", "-logit", "logit + 1e-9", "x'00ff'", "9e999"])
def test_a_score_that_somebody_changed_is_computed_again(keys: Any, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.db"
    file = ScoreFile(path)
    file.keep(dict(zip(keys, SCORED, strict=True)))
    with sqlite3.connect(path) as opened:
        opened.execute(f"UPDATE checked SET logit = {damage} WHERE rowid = 2")
    opened.close()
    cache = ScoreCache(10, file)
    assert cache.find(keys) == [SCORED[0], None, SCORED[2]]
    cache.keep({keys[1]: SCORED[1]})
    assert ScoreFile(path).find(keys) == dict(zip(keys, SCORED, strict=True)), "and remembered in its place"


def test_a_score_of_another_pair_is_not_taken_for_its_own(keys: Any, tmp_path: Path) -> None:
    path = tmp_path / "scores.db"
    ScoreFile(path).keep(dict(zip(keys, SCORED, strict=True)))
    with sqlite3.connect(path) as opened:
        opened.execute("UPDATE checked SET logit = (SELECT logit FROM checked WHERE rowid = 1)")
    opened.close()
    assert set(ScoreFile(path).find(keys)) == {keys[0]}


@pytest.mark.parametrize("logit", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_remembered(keys: Any, tmp_path: Path, logit: float) -> None:
    cache = ScoreCache(10, ScoreFile(tmp_path / "scores.db"))
    cache.keep({keys[0]: Scored(logit, 0), keys[1]: SCORED[1]})
    assert cache.find(keys) == [None, SCORED[1], None]

"""Work in threads: no more at a time than there are threads, and the event loop is free however much waits."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

import overfetch
from overfetch.cli.main import app
from overfetch.leaving import AT_A_TIME, carried, in_thread, threads, whether_left


async def test_no_more_are_handed_over_than_threads_take() -> None:
    active, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        time.sleep(0.002)
        with lock:
            active -= 1
        return number

    assert await asyncio.gather(*(in_thread(work, n) for n in range(500))) == list(range(500))
    assert most == AT_A_TIME


async def test_a_loop_may_have_more_threads() -> None:
    everyone = threading.Barrier(AT_A_TIME + 3, timeout=10)
    with threads(AT_A_TIME + 3):
        await asyncio.gather(*(in_thread(everyone.wait) for _ in range(AT_A_TIME + 3)))
    assert await in_thread(lambda: "done") == "done"


async def test_who_leaves_while_waiting_starts_nothing_and_holds_nobody_up() -> None:
    release, started = threading.Event(), []

    def work(number: int) -> None:
        started.append(number)
        release.wait(10)

    first = [asyncio.create_task(in_thread(work, n)) for n in range(AT_A_TIME)]
    waiting = asyncio.create_task(in_thread(work, -1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    await asyncio.gather(*first)
    await in_thread(work, AT_A_TIME)
    assert sorted(started) == list(range(AT_A_TIME + 1))


async def test_who_leaves_while_working_is_known_to_the_work() -> None:
    left = threading.Event()
    begun = threading.Event()

    def work() -> None:
        begun.set()
        if whether_left().wait(10):
            left.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(left.wait, 10)


def test_each_event_loop_has_turns_of_its_own() -> None:
    """A turn of a loop that is gone must not block the next."""
    for _ in range(2):
        assert asyncio.run(in_thread(lambda: "done")) == "done"


async def test_who_leaves_is_known_in_the_threads_of_a_pool() -> None:
    seen = threading.Event()

    def part(_: int) -> None:
        if whether_left().wait(10):
            seen.set()

    def work() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(carried(part), range(4)))

    task = asyncio.create_task(in_thread(work))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(seen.wait, 5)


@pytest.mark.parametrize("place", ["inference/remote.py", "stores/server_writing.py"])
def test_every_pool_is_told(place: str) -> None:
    code = (Path(overfetch.__file__).parent / place).read_text(encoding="utf-8")
    assert code.count("pool.map(carried(") == code.count("pool.map(") == 1


INTERRUPT = """
import contextlib, os, signal, sys
from overfetch.inference import onnx
from overfetch.cli.main import run
real, read, moments = onnx.OnnxModel.run, [], [int(sys.argv[1])]
def interrupted(self, batch):
    read.extend(batch)
    with contextlib.suppress(IndexError):  # two workers may come at once: once is enough
        if 0 < moments[0] <= len(read) and moments.pop():
            os.kill(os.getpid(), signal.SIGINT)
    return real(self, batch)
onnx.OnnxModel.run = interrupted
sys.argv = ["overfetch", *sys.argv[2:]]
run()
"""
DAEMONS = """
import threading, time, overfetch
engine = overfetch.open_site("sagedaily")
done = []
def search():
    try:
        while True:
            engine.search("canon", f"the tower {len(done)}")
            done.append(1)
    except overfetch.OverfetchError:
        pass
for _ in range(8):
    threading.Thread(target=search, daemon=True).start()
while len(done) < 5:
    time.sleep(0.01)
"""


def process(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_ctrl_c_while_scoring_ends_with_130_and_says_what_is_kept(tmp_path: Path) -> None:
    records = [{"_id": str(n), "title": f"T{n}", "kind": "card", "text": f"The tower {n} falls."} for n in range(400)]
    source = tmp_path / "source.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    command = ("index", "sagedaily/canon", "--source", str(source))
    early = process(INTERRUPT, "30", *command)
    assert (early.returncode, early.stderr) == (130, "interrupted: nothing of sagedaily/canon was written yet\n")
    late = process(INTERRUPT, "330", *command)
    kept = "interrupted: 256 passages of sagedaily/canon are written and kept: the same command goes on with the rest\n"
    assert (late.returncode, late.stderr) == (130, kept)
    for other in (("search", "sagedaily", "tower"), ("ask", "sagedaily", "why"), ("index", "sagedaily")):
        refused = CliRunner().invoke(app, other)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.startswith(f"error: sagedaily/canon is not indexed yet: a run from '{source}' was interr")
        assert f"overfetch index sagedaily/canon --source {source}" in refused.stderr
    assert "embedded 144" in process(INTERRUPT, "0", *command).stdout


def test_exiting_while_daemon_threads_score_is_quiet() -> None:
    assert CliRunner().invoke(app, ["index", "sagedaily"]).exit_code == 0
    done = process(DAEMONS)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr

"""`overfetch serve --workers 2`: what is the service's and not a worker's, and how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

SEARCH = "/v1/pages/pages/search"
LIMIT = 3
PROGRAM = "from overfetch.cli.main import run; run()"


class Running(NamedTuple):
    """A service in processes of its own; `log` is what it wrote until now."""

    process: subprocess.Popen[str]
    client: httpx.Client
    log: Callable[[], list[dict[str, Any]]]

    def workers(self) -> set[int]:
        started = [line["message"] for line in self.log() if "Started server process" in line["message"]]
        return {int(message.rpartition("[")[2].rstrip("]")) for message in started}

    def figure(self, name: str) -> float:
        lines = [line for line in self.client.get("/metrics").text.splitlines() if line.startswith(name)]
        return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "ferries.md").write_text("# Ferries\n\nThe ferry to Hydra leaves at nine.\n")
    told = tmp_path / "log"
    variables = {"STATE": str(tmp_path / "state"), "REQUESTS_PER_MINUTE": str(LIMIT)}
    with told.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "serve", str(pages), "--workers", "2", "--port", "0"],
            env=os.environ | {f"OVERFETCH_SERVE_{name}": value for name, value in variables.items()},
            stderr=log,
            text=True,
        )

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in told.read_text().splitlines() if line.startswith("{")]

    try:
        until(lambda: len([line for line in lines() if "startup complete" in line["message"]]) == 2, process)
        address = next(line["message"] for line in lines() if "running on" in line["message"]).split()[3]
        with httpx.Client(base_url=address) as client:
            yield Running(process, client, lines)
    finally:
        process.terminate()
        process.wait(60)


def until(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(1_200):
        assert process.poll() is None
        if what():
            return
        time.sleep(0.1)
    raise AssertionError("it took too long")


def test_figures_and_rates_are_the_services(running: Running) -> None:
    url = running.client.base_url.join(SEARCH)
    answers = [httpx.post(url, json={"query": f"ferry {n}"}) for n in range(LIMIT + 3)]  # a connection each
    assert [answer.status_code for answer in answers] == [200] * LIMIT + [429] * 3
    assert running.figure('overfetch_requests_total{route="/v1/{site}/{collection}/search"') == LIMIT + 3
    assert running.figure("overfetch_rerank_total") == LIMIT
    first = running.workers()
    os.kill(first.pop(), signal.SIGKILL)
    until(lambda: len(running.workers()) == 3, running.process)
    assert running.figure("overfetch_rerank_total") == LIMIT
    assert running.client.get("/readyz").status_code == 200
    running.process.terminate()
    assert running.process.wait(60) == 0
    assert all("ferry" not in json.dumps(line) for line in running.log())

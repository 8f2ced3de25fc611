"""The faults of `serving_faults.py`: each is in effect while its context lasts, and may note what it saw itself."""

import asyncio
import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from openai_server import ChatServer
from service_process import PROGRAM, Served
from serving_injected import RERANKER

from overfetch.models import find_profile

STARTED = re.compile(r"Started server process \[(\d+)\]")
PACKAGE = "overfetch_mini"
SMALL = "small"


class World(NamedTuple):
    """The service, the folder of everything that it reads and writes, its language model, and what is done last."""

    served: Served
    folder: Path
    model: ChatServer
    ends: contextlib.ExitStack


Notes = list[str]
Fault = Callable[[World], AbstractAsyncContextManager[Notes]]


def worker_ids(served: Served) -> list[int]:
    """Of the processes that serve now."""
    started = map(int, STARTED.findall(served.log.read_text()))
    return [number for number in started if Path(f"/proc/{number}").exists()]


def models_of_its_own(folder: Path) -> dict[str, str]:
    """The variable by which the service finds a copy of the package of models, whose files may vanish."""
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None
    assert found.origin is not None
    copy = folder / "packages" / PACKAGE
    if not copy.exists():
        shutil.copytree(Path(found.origin).parent, copy)
    return {"PYTHONPATH": str(copy.parent)}


@contextmanager
def caches_on_small_disk(folder: Path) -> Iterator[dict[str, str]]:
    """The variables that put scores and the service's state there; without the right to mount, in a usual folder."""
    disk = folder / SMALL
    disk.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)]
    mounted = subprocess.run(line, capture_output=True, check=False).returncode == 0
    try:
        yield {"OVERFETCH_SCORES_FILE": str(disk / "scores.sqlite"), "OVERFETCH_SERVE_STATE": str(disk / "state")}
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def _reranker(how: str) -> Fault:
    @asynccontextmanager
    async def fault(world: World) -> AsyncIterator[Notes]:
        place = world.folder / RERANKER
        place.write_text(how)
        try:
            yield []
        finally:
            place.unlink()

    return fault


def _language_model(how: str) -> Fault:
    @asynccontextmanager
    async def fault(world: World) -> AsyncIterator[Notes]:
        world.model.shares = {how: 1.0}
        try:
            yield []
        finally:
            world.model.shares = {}

    return fault


@asynccontextmanager
async def _reranker_file_vanishes(world: World) -> AsyncIterator[Notes]:
    """Under both workers, one of which is then killed, so that a new one has to load it."""
    spec = find_profile("mini").reranker
    file = world.folder / "packages" / PACKAGE / spec.folder / "model.onnx"
    away = file.rename(world.folder / "model.away")
    os.kill(worker_ids(world.served)[0], signal.SIGKILL)
    try:
        yield ["one worker was killed, so that another starts without the file"]
    finally:
        away.rename(file)


@asynccontextmanager
async def _store_moved_away(world: World) -> AsyncIterator[Notes]:
    away = (world.folder / "store").rename(world.folder / "store.away")
    try:
        yield []
    finally:
        shutil.rmtree(world.folder / "store", ignore_errors=True)  # where somebody has made an empty one meanwhile
        away.rename(world.folder / "store")


@asynccontextmanager
async def _disk_full(world: World) -> AsyncIterator[Notes]:
    disk = world.folder / SMALL
    if not disk.is_mount():
        yield ["nothing was injected: a small disk cannot be mounted here"]
        return
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4_096)):
            pass
    try:
        yield [f"{shutil.disk_usage(disk).free} bytes were free"]
    finally:
        filler.unlink()


@asynccontextmanager
async def _worker_killed(world: World) -> AsyncIterator[Notes]:
    os.kill(worker_ids(world.served)[0], signal.SIGKILL)
    yield []


@asynccontextmanager
async def _terminated(world: World) -> AsyncIterator[Notes]:
    """The load goes on, and finds nobody; then the same command starts it again."""
    notes = list[str]()
    process = world.served.process
    line = [arg.decode() for arg in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[:-1]]
    given = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    variables = dict(one.decode().split("=", 1) for one in given if b"=" in one)
    process.send_signal(signal.SIGTERM)
    notes.append(f"ended with {await asyncio.to_thread(process.wait, 60)}, and was started again")
    again = subprocess.Popen(line, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    world.ends.callback(again.terminate)
    yield notes
    await asyncio.to_thread(world.served.await_ready, again)


@asynccontextmanager
async def _clock_jumps(world: World) -> AsyncIterator[Notes]:
    """An hour ahead, then a day back, then right again."""
    clock = world.folder / "clock"
    clock.write_text("+3600")
    await asyncio.sleep(2)
    clock.write_text("-86400")
    try:
        yield []
    finally:
        clock.write_text("+0")


@asynccontextmanager
async def _indexed_again(world: World) -> AsyncIterator[Notes]:
    """By another process, then rolled back."""
    notes = list[str]()
    variables = {**os.environ, "OVERFETCH_QDRANT": f"file:{world.folder / 'store'}"}
    for line in (["index", "builddaily/chat", "--rebuild"], ["rollback", "builddaily/chat"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, *line, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        notes.append(
            f"{' '.join(line)}: {process.returncode}" + (f" {said.decode()[-200:]}" if process.returncode else "")
        )
    yield notes


FAULTS: dict[str, Fault] = {
    "reranker raises": _reranker("raises"),
    "reranker hangs": _reranker("hangs"),
    "reranker's file vanishes": _reranker_file_vanishes,
    "store moved away": _store_moved_away,
    "language model says 429": _language_model("limited"),
    "language model says 503": _language_model("failing"),
    "language model is slow": _language_model("slow"),
    "language model cuts off": _language_model("cut"),
    "disk of the caches full": _disk_full,
    "re-index and rollback": _indexed_again,
    "clock jump": _clock_jumps,
    "SIGKILL of one worker": _worker_killed,
    "SIGTERM": _terminated,
}

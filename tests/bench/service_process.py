"""The service as a real process, as `overfetch serve` starts it, and its address once it is ready."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

PROGRAM = "from overfetch.cli.main import run; run()"
SECONDS = 600.0


class Served(NamedTuple):
    """`log` is what it writes to."""

    process: "subprocess.Popen[bytes]"
    address: str
    log: Path

    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.address}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    def await_ready(self, process: "subprocess.Popen[bytes] | None" = None) -> float:
        """Seconds until it was; `process` is what serves there now, where that is another."""
        began, serves = time.monotonic(), process or self.process
        while not self.ready():
            if serves.poll() is not None or time.monotonic() - began > SECONDS:
                raise RuntimeError(f"the service did not start:\n{self.log.read_text()[-3_000:]}")
            time.sleep(0.02)
        return time.monotonic() - began

    def resident_bytes(self) -> int:
        """Of the process itself, without the workers that it has started."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def service(
    sites: Sequence[str], folder: Path, *options: str, command: Sequence[str] = ("-c", PROGRAM), **variables: str
) -> Iterator[Served]:
    """Ready to serve, with store and state in `folder`; ended on exit."""
    port = free_port()
    usual = {"OVERFETCH_QDRANT": f"file:{folder / 'store'}", "OVERFETCH_SERVE_STATE": str(folder / "state")}
    line = [sys.executable, *command, "serve", *sites, "--port", str(port), *options]
    told = folder / f"log-{port}"
    with (
        told.open("wb") as log,
        subprocess.Popen(line, env={**os.environ, **usual, **variables}, stdout=log, stderr=log) as process,
    ):
        served = Served(process, f"http://127.0.0.1:{port}", told)
        try:
            served.await_ready()
            yield served
        finally:
            process.terminate()

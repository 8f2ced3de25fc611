"""The command, as a real process with two workers: what another process publishes reaches both, and the end."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from listening import until

from overfetch import Engine, Environment, Workspace
from overfetch_serve.folders import COLLECTION, folder_site

SECONDS = 60  # until what is sure to happen counts as not happening
LEAVING_S = 3
CONNECTIONS = 12  # each may reach either worker
PAGE = "# {0}\n\nThe {0} is what this page is about, and nothing else is said here.\n"


class Server(NamedTuple):
    """Of a folder called `pages`, in a store that others may write."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    environment: Environment

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def best(self, query: str) -> set[str]:
        """The titles that come first, of as many connections as surely reach both workers."""
        body = {"query": query, "rerank": False}
        answers = (
            httpx.post(f"{self.address}/v1/pages/{COLLECTION}/search", json=body, timeout=SECONDS)
            for _ in range(CONNECTIONS)
        )
        return {answer.json()["hits"][0]["title"] for answer in answers}

    def ready(self) -> int | None:
        """The status of /readyz; None where nobody listens yet."""
        try:
            return httpx.get(f"{self.address}/readyz", timeout=SECONDS).status_code
        except httpx.TransportError:
            return None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Iterator[Server]:
    folder, store = tmp_path_factory.mktemp("served") / "pages", tmp_path_factory.mktemp("store")
    folder.mkdir()
    for word in ("teapot", "lighthouse"):
        (folder / f"{word}.md").write_text(PAGE.format(word), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    variables = {
        "OVERFETCH_QDRANT": f"file:{store}",
        "OVERFETCH_CACHE": str(session_cache),
        "OVERFETCH_SERVE_STATE": str(tmp_path_factory.mktemp("state")),
        "OVERFETCH_SERVE_LEAVING_S": str(LEAVING_S),
        "OVERFETCH_SERVE_BODY_TIMEOUT_S": str(SECONDS),
    }
    given = ("serve", str(folder), "--port", str(port), "--workers", "2")
    command = [sys.executable, "-c", "from overfetch.cli.main import run; run()", *given]
    environment = Environment(qdrant=f"file:{store}", cache=session_cache)
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        try:
            served = Server(process, port, folder, environment)
            until(lambda: served.ready() == 200 or process.poll() is not None, SECONDS)
            yield served
        finally:
            process.terminate()


def engine_of(workspace: Workspace, server: Server) -> Engine:
    return workspace.site(folder_site(server.folder))


def test_what_another_process_publishes_reaches_all_workers(server: Server) -> None:
    assert server.best("the teapot") == {"teapot"}
    assert server.best("the kettle") != {"kettle"}
    (server.folder / "kettle.md").write_text(PAGE.format("kettle"), encoding="utf-8")
    with Workspace(server.environment) as workspace:
        engine = engine_of(workspace, server)
        engine.index_again(COLLECTION)
        assert server.best("the kettle") == {"kettle"}
        engine.store.rollback(engine.name_of(COLLECTION))
    assert "kettle" not in server.best("the kettle")


def test_told_to_end_it_is_not_ready_finishes_what_it_has_and_ends(server: Server) -> None:
    """The last test of this server."""
    body = b'{"query": "the teapot"}'
    path = f"/v1/pages/{COLLECTION}/search"
    kind = "Content-Type: application/json"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=SECONDS) as begun:
        begun.sendall(head + body[:5])
        assert server.ready() == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: server.ready() == 503, SECONDS)
        time.sleep(LEAVING_S + 1)  # nobody new is answered from then on: the socket is the supervisor's, and still open
        assert server.process.poll() is None
        begun.sendall(body[5:])
        answered = b"".join(iter(lambda: begun.recv(65_536), b""))
    assert answered.startswith(b"HTTP/1.1 200 OK")
    assert b'"teapot"' in answered
    assert server.process.wait(SECONDS) == 0

"""An application behind a real server on a port of this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

PATIENCE_S = 60.0


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """Its address, once it is warmed up; drained and ended on exit."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            _until_started(server, thread)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    waited = threading.Event()
    for _ in range(int(PATIENCE_S / 0.02)):
        if server.started or not thread.is_alive():
            break
        waited.wait(0.02)
    assert server.started, "the server did not start"

"""An application behind a real socket of this machine."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI


@contextmanager
def listening(application: FastAPI, **options: Any) -> Iterator[str]:
    """Its address, warmed up; drained and ended on exit. `options` are uvicorn's."""
    usual = {"log_level": "warning", "timeout_graceful_shutdown": 5}
    server = uvicorn.Server(uvicorn.Config(application, host="127.0.0.1", port=0, **{**usual, **options}))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the application did not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def until(is_so: Callable[[], bool], seconds: float) -> None:
    """Fails where what is sure to happen has not in that time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)

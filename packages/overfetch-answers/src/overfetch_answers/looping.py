"""One event loop for all language models of a process, in a thread of its own.

A caller inside a running loop (a notebook, a service) cannot start another there; only a task can be stopped at a
deadline; connections belong to a loop, so one loop shares them; and parsing replies never holds up the caller's loop.
"""

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from overfetch.forking import starting_over

Result = TypeVar("Result")

# More would wait for a connection (a pool has 100). Each has its prompt in memory, and what every garbage collection
# walks stops all threads: on two cores 64 cost event loops 65 ms at worst, 32 cost 45.
AT_A_TIME = min(64, 16 * (os.cpu_count() or 1))


class _Background:
    """The loop, started on first use."""

    def __init__(self) -> None:
        self.start_over()
        starting_over(self)

    def start_over(self) -> None:
        """Threads stay behind: a forked process starts a loop of its own."""
        self.turns = asyncio.Semaphore(AT_A_TIME)
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Starts `work` there, in the caller's context."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="overfetch-answers", daemon=True).start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)


_background = _Background()


def submit(work: Coroutine[Any, Any, Result]) -> "Future[Result]":
    """Starts `work` on the background loop."""
    return _background.submit(work)


def turn() -> asyncio.Semaphore:
    """Held by work on the background loop while it talks to a language model: `async with turn(): ...`."""
    return _background.turns


def wait_for(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` on the background loop and waits; cancels it where the caller is interrupted."""
    future = submit(work)
    try:
        return future.result()
    finally:
        future.cancel()


async def result_of(work: Coroutine[Any, Any, Result]) -> Result:
    """Runs `work` on the background loop; cancelling the caller's task cancels it."""
    return await asyncio.wrap_future(submit(work))

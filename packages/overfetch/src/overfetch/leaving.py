"""Callers who leave: work in a thread whose task was cancelled stops before its next model run."""

import os
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")

NOBODY_LEAVES = threading.Event()

# As many as the loop's own executor has threads. The others wait without a hold on the loop: handing hundreds of
# calls to threads at one moment would block it for longer than any of its tasks should.
AT_A_TIME = min(32, (os.cpu_count() or 1) + 4)

_turns: "WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]" = WeakKeyDictionary()

_left: ContextVar[threading.Event] = ContextVar("left", default=NOBODY_LEAVES)


def whether_left() -> threading.Event:
    """Set once the caller of this thread's or task's work has left."""
    return _left.get()


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`work` in a worker thread: the event loop stays free, and cancelling the task reaches the work."""
    import asyncio

    left = threading.Event()
    token = _left.set(left)
    try:
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(AT_A_TIME)):
            return await asyncio.to_thread(work, *args, **kwargs)
    except asyncio.CancelledError:
        left.set()
        raise
    finally:
        _left.reset(token)

"""Who leaves: work in a thread whose task was cancelled stops before its next model run, and all work stops before
the interpreter does.
"""

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio

from overfetch.errors import OverfetchError

P = ParamSpec("P")
R = TypeVar("R")

NOBODY_LEAVES = threading.Event()

# As many as the loop's own executor has threads. The others wait without a hold on the loop: handing hundreds of
# calls to threads at one moment would block it for longer than any of its tasks should.
AT_A_TIME = min(32, (os.cpu_count() or 1) + 4)

_threads: "WeakKeyDictionary[asyncio.AbstractEventLoop, Threads]" = WeakKeyDictionary()

_left: ContextVar[threading.Event] = ContextVar("left", default=NOBODY_LEAVES)


PATIENCE_S = 10.0  # at the end of the process, for what is on its way

_working = 0
_ending = False
_changed = threading.Condition()


@contextmanager
def at_work() -> Iterator[None]:
    """Around what runs native code: a daemon thread that the interpreter ends inside of that takes the process down.

    Raises OverfetchError where the process is ending already.
    """
    global _working
    with _changed:
        if _ending:
            raise OverfetchError("the process is ending")
        _working += 1
    try:
        yield
    finally:
        with _changed:
            _working -= 1
            _changed.notify_all()


@atexit.register
def _end() -> None:
    """Lets nobody begin, and waits for those who did; the scorers have sent their callers away already."""
    global _ending
    with _changed:
        _ending = True
        _changed.wait_for(lambda: not _working, PATIENCE_S)


def _start_over() -> None:
    """In a process just forked, which has none of the threads that worked."""
    global _working, _changed
    _working, _changed = 0, threading.Condition()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)


def carried(work: Callable[P, R]) -> Callable[P, R]:
    """`work` for the threads of a pool, which would not know by themselves for whom they work and who left."""
    context = copy_context()

    def known(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(work, *args, **kwargs)

    return known


def whether_left() -> threading.Event:
    """Set once the caller of this thread's or task's work has left."""
    return _left.get()


class Threads(NamedTuple):
    """Of one event loop: where its work is done, by default in its own executor, and how much at a time."""

    turns: "asyncio.Semaphore"
    executor: Executor | None = None


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Herein `in_thread` has that many threads in this event loop: for work that mostly waits for its turn."""
    import asyncio

    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(count, thread_name_prefix="overfetch")
    _threads[loop] = Threads(asyncio.Semaphore(count), executor)
    try:
        yield
    finally:
        del _threads[loop]
        executor.shutdown(wait=False)


async def in_thread(work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """`work` in a worker thread: the event loop stays free, and cancelling the task reaches the work."""
    import asyncio

    left, loop = threading.Event(), asyncio.get_running_loop()
    token = _left.set(left)
    try:
        turns, executor = _threads.setdefault(loop, Threads(asyncio.Semaphore(AT_A_TIME)))
        async with turns:
            return await loop.run_in_executor(executor, partial(copy_context().run, work, *args, **kwargs))
    except asyncio.CancelledError:
        left.set()
        raise
    finally:
        _left.reset(token)

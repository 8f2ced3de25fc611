"""What a forked child starts over: locks that others held, threads that stayed behind, connections, open shards.

gunicorn's preload, Celery and multiprocessing fork a process that may have searched already. Whatever cannot be shared
with the child registers here, and nowhere else.
"""

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """Something of which a forked child needs its own."""

    def start_over(self) -> None:
        """In the child, before anything else runs there. What the parent uses is left as it is: dropped, not closed."""


_all: "WeakSet[Forked]" = WeakSet()


def starting_over(thing: Forked) -> None:
    """From now on it starts over in every forked child, for as long as somebody holds it."""
    _all.add(thing)


class ProcessLock:
    """A lock that threads of a process share and a forked child finds free; whoever holds it may take it again."""

    def __init__(self) -> None:
        self.start_over()
        starting_over(self)

    def start_over(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


def _start_over() -> None:
    for thing in list(_all):
        thing.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over)

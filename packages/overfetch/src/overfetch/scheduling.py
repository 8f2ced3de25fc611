"""How the model runs of this thread's or task's work rank among others': until when, and whether they go first."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple


class Rank(NamedTuple):
    """`end` (`time.monotonic()`) by which runs are over; `tokens` of which all are needed, 0 where any are of use."""

    end: float | None = None
    first: bool = False
    alone: bool = False
    tokens: int = 0


def moving_average(before: float | None, last: float, weight: float = 0.1) -> float:
    """In which the last one has this weight, and those before it ever less."""
    return last if before is None else before + weight * (last - before)


USUAL = Rank()
_rank: ContextVar[Rank] = ContextVar("rank", default=USUAL)


def current() -> Rank:
    """That of this thread or task."""
    return _rank.get()


def until(end: float) -> AbstractContextManager[None]:
    """Runs herein end then (`time.monotonic()`), also those of models that take no deadline."""
    return _ranked(end=end)


def at_leisure() -> AbstractContextManager[None]:
    """Runs herein end when they do."""
    return _ranked(end=None)


def ahead() -> AbstractContextManager[None]:
    """Runs herein go before all that wait: they are short, and something is held up that costs more than they do."""
    return _ranked(first=True)


def alone() -> AbstractContextManager[None]:
    """Sequences herein share no run, whose others would show in their last digits: equal texts are equal vectors."""
    return _ranked(alone=True)


def whole(tokens: int) -> AbstractContextManager[None]:
    """Of so many tokens that are to be read herein all are, or none is of use."""
    return _ranked(tokens=tokens)


@contextmanager
def _ranked(**changes: Any) -> Iterator[None]:
    token = _rank.set(_rank.get()._replace(**changes))
    try:
        yield
    finally:
        _rank.reset(token)

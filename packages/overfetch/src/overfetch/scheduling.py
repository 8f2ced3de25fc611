"""How the model runs of this thread's or task's work rank among others': until when, and whether they go first."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_end: ContextVar[float | None] = ContextVar("end", default=None)
_first: ContextVar[bool] = ContextVar("first", default=False)
_alone: ContextVar[bool] = ContextVar("alone", default=False)
_tokens: ContextVar[int] = ContextVar("tokens", default=0)


@contextmanager
def until(end: float) -> Iterator[None]:
    """Runs herein end then (`time.monotonic()`), also those of models that take no deadline."""
    token = _end.set(end)
    try:
        yield
    finally:
        _end.reset(token)


@contextmanager
def ahead() -> Iterator[None]:
    """Runs herein go before all that wait: they are short, and something is held up that costs more than they do."""
    token = _first.set(True)
    try:
        yield
    finally:
        _first.reset(token)


@contextmanager
def alone() -> Iterator[None]:
    """Sequences herein share no run, whose others would show in their last digits: equal texts are equal vectors."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


@contextmanager
def whole(tokens: int) -> Iterator[None]:
    """Of so many tokens that are to be read herein all are, or none is of use."""
    token = _tokens.set(tokens)
    try:
        yield
    finally:
        _tokens.reset(token)


def sooner(deadline: float | None) -> float | None:
    """`deadline`, or what `until` says."""
    return min((end for end in (deadline, _end.get()) if end is not None), default=None)


def goes_first() -> bool:
    return _first.get()


def shares_no_run() -> bool:
    return _alone.get()


def tokens_needed() -> int:
    """0: what is read in time is of use."""
    return _tokens.get()

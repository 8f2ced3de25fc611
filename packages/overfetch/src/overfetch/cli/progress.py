"""Progress on standard error: a bar where somebody watches, else a line now and then."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import rich.progress
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from overfetch.cli.terminal import notice, notices
from overfetch.indexing import Progress

EVERY_S = 10.0


class CountColumn(ProgressColumn):
    """How far it is."""

    def render(self, task: Task) -> Text:
        return Text(how_far(round(task.completed), None if task.total is None else round(task.total)))


class RateColumn(ProgressColumn):
    """How many a second, lately."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


def how_far(done: int, total: int | None) -> str:
    """
    >>> how_far(4261, None), how_far(4261, 9000)
    ('reading 4,261', '4,261 of 9,000')
    """
    if total is None:
        return f"reading {done:,}" if done else ""
    return f"{done:,} of {total:,}"


def roughly(seconds: float) -> str:
    """
    >>> [roughly(seconds) for seconds in (4, 42, 200, 2_290, 9_100)]
    ['a few seconds', 'about 40 s', 'about 3 min', 'about 40 min', 'about 2.5 h']
    """
    if seconds < 10:
        return "a few seconds"
    if seconds < 90:
        return f"about {round(seconds / 10) * 10} s"
    minutes = seconds / 60
    step = 1 if minutes < 10 else 5
    return f"about {round(minutes / step) * step} min" if minutes < 90 else f"about {round(minutes / 30) / 2:g} h"


class Pace:
    """How long the rest will take, by what was done since the first look: what was loaded before does not count."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None

    def left(self, done: int, total: int) -> float | None:
        """Seconds; None where nothing tells yet."""
        began, before = self._first = self._first or (time.monotonic(), done)
        return (time.monotonic() - began) / (done - before) * (total - done) if done > before else None


@contextmanager
def progress_bar(description: str, first: int = 0) -> Iterator[Progress]:
    """Called with (done, total). After the `first` so many a line says how long the rest will take, above a bar too."""
    if not notices.is_terminal:
        yield _lines(description, first, EVERY_S)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        CountColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    foretell = _lines(description, first, math.inf)
    with rich.progress.Progress(*columns, console=notices, transient=True) as bar:
        task = bar.add_task(description, total=None)

        def tell(done: int, total: int | None) -> None:
            bar.update(task, completed=done, total=total)
            foretell(done, total)

        yield tell


query_progress = partial(progress_bar, first=5)


def _lines(description: str, first: int, every_s: float) -> Progress:
    last, pace = time.monotonic(), Pace()

    def tell(done: int, total: int | None) -> None:
        nonlocal last
        left = None if total is None else pace.left(done, total)
        if time.monotonic() - last >= every_s or (left and done == first):
            last = time.monotonic()
            notice(f"{description}: {how_far(done, total)}{f', {roughly(left)} left' if left else ''}")

    return tell

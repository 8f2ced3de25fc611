"""Progress on standard error: a bar where somebody watches, else a line now and then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """Called with (done, total)."""
    if not notices.is_terminal:
        yield _lines(description)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        CountColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with rich.progress.Progress(*columns, console=notices, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(description: str) -> Progress:
    last = time.monotonic()

    def tell(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= EVERY_S:
            last = time.monotonic()
            notice(f"{description}: {how_far(done, total)}")

    return tell

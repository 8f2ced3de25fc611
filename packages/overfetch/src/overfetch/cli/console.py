"""What every command shares: where output goes, how errors end, progress on standard error."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import rich.progress
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from overfetch.engine import Engine
from overfetch.environment import read_environment
from overfetch.errors import CollectionMissing, OverfetchError, RecallLoss, SettingsError
from overfetch.indexing import IndexReport, Progress
from overfetch.sites import load_site
from overfetch.wiring import open_site

EXIT_CODES: dict[type[OverfetchError], int] = {SettingsError: 2, RecallLoss: 3}
LOCAL = ("file:", ":memory:")

P = ParamSpec("P")
R = TypeVar("R")

# Without emoji codes: a quote is printed as it stands in its source.
output = Console(highlight=False, soft_wrap=True, emoji=False)
notices = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)

Profile = Annotated[str | None, typer.Option(help="Pair of models: mini, mini-fast, bge, bge-large or m3.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Target = Annotated[str, typer.Argument(help="SITE or SITE/COLLECTION.")]


def ending_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Ends a failing command with one line on standard error: exit code 2 for wrong usage, 3 at a gate, else 1."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except OverfetchError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(EXIT_CODES.get(type(error), 1)) from error

    return wrapped


def print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def notice(message: str) -> None:
    notices.print(message, style="dim", markup=False)


@contextmanager
def opened(target: str, profile: str | None) -> Iterator[tuple[Engine, str | None]]:
    """The engine of `SITE` or `SITE/COLLECTION`, and the collection where one is named."""
    site, _, collection = target.partition("/")
    found = load_site(site)
    if "/" in target:
        found.collection(collection)
    with open_site(found, profile=profile, report=notice) as engine:
        yield engine, collection or None


@contextmanager
def opened_collection(target: str, profile: str | None) -> Iterator[tuple[Engine, str]]:
    """The engine and the collection of `SITE/COLLECTION`. Raises SettingsError where only a site is named."""
    with opened(target, profile) as (engine, collection):
        if collection is None:
            raise SettingsError(f"{target!r} is a site: name one of its collections, as SITE/COLLECTION")
        yield engine, collection


class RateColumn(ProgressColumn):
    """How many a second, lately."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(description: str) -> Iterator[Progress]:
    """A bar on standard error, where somebody watches; called with (done, total)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with rich.progress.Progress(*columns, console=notices, transient=True, disable=not notices.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def index_with_progress(engine: Engine, collection: str, *sources: Path, **options: Any) -> IndexReport:
    with progress_bar(f"indexing {engine.name_of(collection)}") as progress:
        return engine.index(collection, *sources, progress=progress, **options)


def with_sample_if_missing(engine: Engine, collection: str, work: Callable[[], R]) -> R:
    """Does `work`; on a fresh machine once more with the sample corpus, so that the first question is answered.

    Wrong usage fails in the first try, before anything is indexed for it.
    """
    try:
        return work()
    except CollectionMissing:
        if not read_environment().store_address.startswith(LOCAL):
            raise  # nobody expects a search to write to a shared server
        name = engine.name_of(collection)
        notice(
            f"{name} is not indexed yet: indexing its sample corpus (your own: overfetch index {name} --source PATH)"
        )
        index_with_progress(engine, collection)
        return work()

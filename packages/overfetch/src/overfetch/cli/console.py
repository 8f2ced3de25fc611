"""What every command shares: where output goes, how errors end, progress on standard error."""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack

import rich.progress
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from overfetch.engine import Engine
from overfetch.errors import CollectionMissing, OverfetchError, RecallLoss, SettingsError
from overfetch.indexing import IndexReport, Progress
from overfetch.partitions import Partition
from overfetch.sites import find_collection, find_target
from overfetch.workspace import Workspace

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
    """A document, or what documents are made of."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2, default=lambda part: part.model_dump(mode="json")))


def notice(message: str) -> None:
    notices.print(message, style="dim", markup=False)


class Opened(NamedTuple):
    """The engine of `SITE` or `SITE/COLLECTION` in its workspace, and the collection where one is named."""

    workspace: Workspace
    engine: Engine
    collection: str | None


@contextmanager
def opened(target: str, profile: str | None) -> Iterator[Opened]:
    """Raises SettingsError on an unknown site or collection."""
    site, collection = find_target(target)
    with Workspace(report=notice) as workspace:
        yield Opened(workspace, workspace.site(site, profile=profile), collection)


@contextmanager
def opened_collection(target: str, profile: str | None) -> Iterator[tuple[Workspace, Engine, str]]:
    """The engine and the collection of `SITE/COLLECTION`. Raises SettingsError where only a site is named."""
    find_collection(target)
    with opened(target, profile) as (workspace, engine, collection):
        assert collection is not None
        yield workspace, engine, collection


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


class IndexOptions(TypedDict, total=False):
    """Keywords of Engine.index."""

    rebuild: bool
    dry_run: bool
    accept_loss: bool
    partition: Partition | None
    id_prefixes: Sequence[str]
    skip_bad: bool


def index_with_progress(
    engine: Engine, collection: str, *sources: Path, **options: Unpack[IndexOptions]
) -> IndexReport:
    with progress_bar(f"indexing {engine.name_of(collection)}") as progress:
        return engine.index(collection, *sources, progress=progress, **options)


def with_sample_if_missing(workspace: Workspace, engine: Engine, collection: str, work: Callable[[], R]) -> R:
    """Does `work`; on a fresh machine once more with the sample corpus, so that the first question is answered.

    Wrong usage fails in the first try, before anything is indexed for it.
    """
    try:
        return work()
    except CollectionMissing:
        if not workspace.environment.store_address.startswith(LOCAL):
            raise  # nobody expects a search to write to a shared server
        name = engine.name_of(collection)
        notice(
            f"{name} is not indexed yet: indexing its sample corpus (your own: overfetch index {name} --source PATH)"
        )
        index_with_progress(engine, collection)
        return work()

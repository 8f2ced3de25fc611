"""What every command shares: how it opens what it works on, and how errors end."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, ParamSpec, TypedDict, TypeVar, Unpack

import typer

from overfetch.cli.progress import progress_bar
from overfetch.cli.terminal import error_line, notice
from overfetch.engine import Engine
from overfetch.errors import CollectionMissing, OverfetchError, RecallLoss, SettingsError
from overfetch.indexing import IndexReport, require_no_other_begun
from overfetch.partitions import Partition
from overfetch.sites import find_collection, find_target
from overfetch.workspace import Workspace

EXIT_CODES: dict[type[OverfetchError], int] = {SettingsError: 2, RecallLoss: 3}
INTERRUPTED = 130  # as a shell says it of what SIGINT ended
LOCAL = ("file:", ":memory:")

P = ParamSpec("P")
R = TypeVar("R")


Profile = Annotated[
    str | None,
    typer.Option(help="Models: mini, mini-fast, reader, bge, bge-large, m3, small, small-fast, modern or classic."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Target = Annotated[str, typer.Argument(help="SITE or SITE/COLLECTION.")]


def ending_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Ends a failing command with one line on standard error: exit code 2 for wrong usage, 3 at a gate, else 1."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except OverfetchError as error:
            error_line(f"error: {error}")
            raise typer.Exit(EXIT_CODES.get(type(error), 1)) from error
        except OSError as error:  # names file and reason
            error_line(f"error: {error}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            error_line(f"interrupted: {error.args[0] if error.args else 'nothing was changed'}")
            raise typer.Exit(INTERRUPTED) from error

    return wrapped


@contextmanager
def keeping(said: Callable[[], str]) -> Iterator[None]:
    """Around what Ctrl-C leaves unfinished: the line that tells what is kept of it."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(said()) from error


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
    name, written = engine.name_of(collection), 0
    with progress_bar(f"indexing {name}") as show:

        def progress(done: int, total: int | None) -> None:
            nonlocal written
            written = done if total is not None else 0
            show(done, total)

        with keeping(lambda: _kept(name, written)):
            return engine.index(collection, *sources, progress=progress, **options)


def _kept(name: str, written: int) -> str:
    if not written:
        return f"nothing of {name} was written yet"
    return f"{written} passages of {name} are written and kept: the same command goes on with the rest"


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
        require_no_other_begun(name, engine.store)
        into = f" into {workspace.environment.qdrant}" if workspace.environment.qdrant else ""
        own = f"your own: overfetch index {name} --source PATH"
        notice(f"{name} is not indexed yet: indexing its sample corpus{into} ({own})")
        index_with_progress(engine, collection)
        return work()

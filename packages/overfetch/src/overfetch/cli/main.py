"""The `overfetch` program."""

from typing import TYPE_CHECKING, Annotated, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from overfetch.cli import ablate, bench, compile, contents, evaluate, fit, index, models, new_site, search, status, tune
from overfetch.cli.terminal import error_line, replace_what_cannot_be_written, writing
from overfetch.errors import OverfetchError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

COMMANDS = "overfetch.commands"


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"overfetch {version('overfetch')}")
        raise typer.Exit


class Commands(TyperGroup):
    """The program's own, and those of installed packages (`overfetch-serve`), which are looked for where they are asked
    for or listed.
    """

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [*super().list_commands(ctx), *sorted(_installed().names)]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]
        own = cast(TyperCommand | None, super().get_command(ctx, cmd_name))
        return own or next((_loaded(point) for point in _installed().select(name=cmd_name)), None)


def _installed() -> "EntryPoints":
    from importlib.metadata import entry_points

    return entry_points(group=COMMANDS)


def _loaded(point: "EntryPoint") -> TyperCommand | TyperGroup:
    """Of a function, or of a Typer application with commands of its own."""
    found = point.load()
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer()
        found.command(point.name)(function)
    command = cast(TyperCommand | TyperGroup, get_command(found))
    command.name = point.name
    return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,  # plain help: drawn with boxes it takes longer than all the rest
)
app.command()(search.ask)
app.command()(search.search)
app.command()(index.index)
app.command()(status.status)
app.command()(status.rollback)
app.command()(status.prune)
app.command()(contents.show)
app.command()(contents.export)
app.command()(contents.delete)
app.command("eval")(evaluate.evaluate)
app.command()(ablate.ablate)
app.command()(fit.fit)
app.command()(tune.tune)
app.command("compile")(compile.compile_answers)
app.command()(index.sites)
app.command("new-site")(new_site.create_site)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")


@app.callback()
def overfetch(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and end.")
    ] = False,
) -> None:
    """Two-stage retrieval: retrieve 20, read 20, keep 5."""


def run() -> None:
    """The program."""
    replace_what_cannot_be_written()
    try:
        with writing():
            app()
    except OverfetchError as error:  # of the help's own output
        error_line(f"error: {error}")
        raise SystemExit(1) from error
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # nobody reads the help to its end
            raise SystemExit(0) from None
        raise

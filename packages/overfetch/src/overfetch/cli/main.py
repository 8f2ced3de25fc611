"""The `overfetch` program."""

from typing import Annotated

import typer

from overfetch.cli import ablate, bench, compile, contents, evaluate, fit, index, models, search, status, tune
from overfetch.cli.terminal import error_line, replace_what_cannot_be_written, writing
from overfetch.errors import OverfetchError


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"overfetch {version('overfetch')}")
        raise typer.Exit


app = typer.Typer(
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

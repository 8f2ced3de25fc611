"""The `overfetch` program."""

import typer

from overfetch.cli import bench, compile, evaluate, index, models, search, status, tune

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,  # plain help: drawn with boxes it takes longer than all the rest
    help="Two-stage retrieval: retrieve 20, read 20, keep 5.",
)
app.command()(search.ask)
app.command()(search.search)
app.command()(index.index)
app.command()(status.status)
app.command()(status.rollback)
app.command()(status.prune)
app.command("eval")(evaluate.evaluate)
app.command()(tune.tune)
app.command("compile")(compile.compile_answers)
app.command()(index.sites)
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")


def run() -> None:
    app()

"""`overfetch serve`: the command line of the service. Light: what serves is imported when it does."""

from typing import Annotated

import typer

from overfetch.cli.console import ending_errors

Served = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SITE|FOLDER]...", help="Installed sites or folders of documents; all sites by default."),
]


@ending_errors
def serve(
    served: Served = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen at; 0 takes a free one.")] = 8_000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Serve sites over HTTP."""
    from overfetch_serve.running import run

    run(tuple(served or ()), host, port, workers)


@ending_errors
def mcp(served: Served = None) -> None:
    """Serve sites to an agent over standard input and output (MCP)."""
    from overfetch_serve.running import run_mcp

    run_mcp(tuple(served or ()))

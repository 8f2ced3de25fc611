"""Where output goes: results on standard output, notices and errors on standard error."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console

from overfetch.errors import OverfetchError
from overfetch.redacting import visible, visible_json


class Terminal(Console):
    """Prints texts as they stand in their sources: without emoji codes, and with control bytes spelt out."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        with writing():
            super().print(*(visible(part) if isinstance(part, str) else part for part in objects), **options)

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


output = Terminal()
notices = Terminal(stderr=True)


def notice(message: str) -> None:
    notices.print(message, style="dim", markup=False)


def error_line(message: str) -> None:
    typer.echo(visible(message), err=True)


def print_json(document: Any) -> None:
    """A document, or what documents are made of."""
    _echo_json(document, indent=2)


def print_json_line(document: Any) -> None:
    """One of many."""
    _echo_json(document, indent=None)


def _echo_json(document: Any, indent: int | None) -> None:
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(document, ensure_ascii=not unicode, indent=indent, default=lambda p: p.model_dump(mode="json"))
    with writing():
        typer.echo(visible_json(text))


@contextmanager
def writing() -> Iterator[None]:
    """Whoever reads no further, as `head` does, ends the program quietly. Raises OverfetchError on a full disk."""
    try:
        yield
    except BrokenPipeError as error:
        _write_nothing_more()
        raise typer.Exit(0) from error
    except OSError as error:
        _write_nothing_more()
        raise OverfetchError(f"cannot write the output: {error.strerror}") from error


def _write_nothing_more() -> None:
    """What is left in the buffer would fail once more when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def replace_what_cannot_be_written() -> None:
    """Letters that the encoding of standard output lacks become question marks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")

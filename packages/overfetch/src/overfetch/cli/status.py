"""`overfetch status`, `overfetch rollback` and `overfetch prune`: the generations of a collection."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from overfetch.cli.console import Json, Target, ending_errors
from overfetch.cli.terminal import notice, output, print_json
from overfetch.documents import GenerationDocument
from overfetch.protocols import Generation
from overfetch.workspace import Workspace

SHOWN = (
    *("embedder", "dimension", "normalisation", "query_prefix", "passage_prefix", "chunker", "sparse_tokenizer"),
    *("fitted_on", "source", "corpus_hash", "schema_version", "library_version"),
)
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


@ending_errors
def status(
    target: Annotated[str | None, typer.Argument(help="SITE or SITE/COLLECTION; by default every site.")] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all that is published: is it what was written?")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the generations of each collection: which is live, how large and old it is, what made it."""
    if verify:
        _verify(target, as_json)
        return
    with Workspace(report=notice) as workspace:
        found = workspace.status(target)
    if as_json:
        print_json([{"collection": name, "generations": _documents(kept)} for name, kept in found.items()])
        return
    for name, kept in found.items():
        output.print(f"[bold]{escape(name)}[/bold]" + ("" if kept else f"  not indexed yet: overfetch index {name}"))
        for generation in kept:
            _print(generation)


@ending_errors
def rollback(target: Annotated[str, typer.Argument(help="SITE/COLLECTION.")], as_json: Json = False) -> None:
    """Make the previous generation live again; once more goes back."""
    with Workspace(report=notice) as workspace:
        live = workspace.rollback(target)
    if as_json:
        print_json({"collection": target, "live": GenerationDocument.of(live)})
        return
    output.print(f"{escape(target)}: generation {live.name} is live now")
    _print(live)


@ending_errors
def prune(
    target: Target,
    keep: Annotated[int, typer.Option(min=1, max=2, help="Generations to keep; the live one is the first.")] = 1,
    as_json: Json = False,
) -> None:
    """Remove what is not live: the previous generation, and what killed runs left."""
    with Workspace(report=notice) as workspace:
        removed = workspace.prune(target, keep)
    if as_json:
        print_json([{"collection": name, "removed": _documents(gone)} for name, gone in removed.items()])
        return
    for name, gone in removed.items():
        sizes = [generation.bytes for generation in gone if generation.bytes is not None]
        freed = f" ({_size(sum(sizes))})" if sizes else ""
        names = ", ".join(f"{generation.name} ({generation.state})" for generation in gone) or "nothing"
        output.print(escape(f"{name}: removed {names}{freed}"))


def _verify(target: str | None, as_json: bool) -> None:
    """Ends with exit code 1 where something is damaged."""
    with Workspace(report=notice) as workspace:
        found = workspace.verify(target)
    if as_json:
        print_json([{"collection": name, "verified": [v.model_dump() for v in kept]} for name, kept in found.items()])
    for name, kept in found.items() if not as_json else ():
        for one in kept:
            whole = "intact" if one.sealed else "its passages are those written; it has no sums of its files"
            output.print(escape(f"{name}  {one.name}  {one.problem or whole}"))
    if any(one.problem for kept in found.values() for one in kept):
        raise typer.Exit(1)


def _documents(generations: Sequence[Generation]) -> list[GenerationDocument]:
    return [GenerationDocument.of(generation) for generation in generations]


def _print(generation: Generation) -> None:
    made, age = generation.provenance, GenerationDocument.of(generation).age_s
    parts = [
        "passages not counted" if generation.passages is None else f"{generation.passages:,} passages",
        *([_size(generation.bytes)] if generation.bytes is not None else []),
        *([f"{_duration(age)} old"] if age is not None else []),
        *([f"recall@{made.recall.top_k} {made.recall.value:.3f}"] if made and made.recall else []),
    ]
    output.print(escape(f"  {generation.name}  {generation.state:10}  {' · '.join(parts)}"))
    if made is None:
        output.print("    what made it cannot be read: another version of Overfetch wrote it", style="dim")
    elif generation.state == "live":
        for field in SHOWN:
            output.print(escape(f"    {field:16} {getattr(made, field)}"), style="dim")


def _duration(seconds: float) -> str:
    return next((f"{seconds / size:.0f} {unit}" for unit, size in UNITS if seconds >= size), f"{seconds:.0f} s")


def _size(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"

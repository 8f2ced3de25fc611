"""`overfetch status`, `overfetch rollback` and `overfetch prune`: the generations of a collection."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from overfetch.cli.console import Json, Target, ending_errors, opened, opened_collection, output, print_json
from overfetch.engine import Engine
from overfetch.protocols import Generation
from overfetch.provenance import Provenance
from overfetch.sites import site_names

SHOWN = (
    *("embedder", "dimension", "normalisation", "query_prefix", "passage_prefix", "chunker", "sparse_tokenizer"),
    *("source", "corpus_hash", "schema_version", "library_version"),
)
UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))


@ending_errors
def status(
    target: Annotated[str | None, typer.Argument(help="SITE or SITE/COLLECTION; by default every site.")] = None,
    as_json: Json = False,
) -> None:
    """Show the generations of each collection: which is live, how large and old it is, what made it."""
    found: dict[str, list[Generation]] = {}
    for site in [target] if target else site_names():
        with opened(site, None) as (engine, named):
            found |= {name: engine.store.generations(name) for name in _names(engine, named)}
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
    with opened_collection(target, None) as (engine, collection):
        name = engine.name_of(collection)
        live = engine.store.rollback(name)
    if as_json:
        print_json({"collection": name, "live": _document(live)})
        return
    output.print(f"{escape(name)}: generation {live.name} is live now")
    _print(live)


@ending_errors
def prune(
    target: Target,
    keep: Annotated[int, typer.Option(min=1, max=2, help="Generations to keep; the live one is the first.")] = 1,
    as_json: Json = False,
) -> None:
    """Remove what is not live: the previous generation, and what killed runs left."""
    with opened(target, None) as (engine, named):
        removed = {name: engine.store.prune(name, keep) for name in _names(engine, named)}
    if as_json:
        print_json([{"collection": name, "removed": _documents(gone)} for name, gone in removed.items()])
        return
    for name, gone in removed.items():
        sizes = [generation.bytes for generation in gone if generation.bytes is not None]
        freed = f" ({_size(sum(sizes))})" if sizes else ""
        names = ", ".join(f"{generation.name} ({generation.state})" for generation in gone) or "nothing"
        output.print(escape(f"{name}: removed {names}{freed}"))


def _names(engine: Engine, named: str | None) -> list[str]:
    return [engine.name_of(name) for name in ([named] if named else [c.name for c in engine.site.collections])]


def _documents(generations: Sequence[Generation]) -> list[dict[str, Any]]:
    return [_document(generation) for generation in generations]


def _document(generation: Generation) -> dict[str, Any]:
    age = round(_age(generation.provenance)) if generation.provenance else None
    return {**generation.model_dump(), "age_s": age}


def _print(generation: Generation) -> None:
    made = generation.provenance
    parts = [
        "passages not counted" if generation.passages is None else f"{generation.passages:,} passages",
        *([_size(generation.bytes)] if generation.bytes is not None else []),
        *([f"{_duration(_age(made))} old"] if made else []),
        *([f"recall@{made.recall.top_k} {made.recall.value:.3f}"] if made and made.recall else []),
    ]
    output.print(escape(f"  {generation.name}  {generation.state:10}  {' · '.join(parts)}"))
    if made is None:
        output.print("    what made it cannot be read: another version of Overfetch wrote it", style="dim")
    elif generation.state == "live":
        for field in SHOWN:
            output.print(escape(f"    {field:16} {getattr(made, field)}"), style="dim")


def _age(made: Provenance) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(made.created)).total_seconds()


def _duration(seconds: float) -> str:
    return next((f"{seconds / size:.0f} {unit}" for unit, size in UNITS if seconds >= size), f"{seconds:.0f} s")


def _size(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"

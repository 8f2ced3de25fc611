"""`overfetch bench rerank`: the same weights behind every library, on this machine."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overfetch.benchmarks import MODELS
from overfetch.cli.console import Json, ending_errors
from overfetch.cli.progress import progress_bar
from overfetch.cli.terminal import output, print_json
from overfetch.environment import read_environment
from overfetch.errors import SettingsError
from overfetch.extras import needing

if TYPE_CHECKING:
    from overfetch.benchmarks.reranking import Comparison

app = typer.Typer(no_args_is_help=True, help="Comparisons on this machine.")


@app.command("rerank")
@ending_errors
def rerank(
    model: Annotated[str, typer.Option(help=f"Architecture, with random weights: {' or '.join(MODELS)}.")] = MODELS[0],
    candidates: Annotated[str, typer.Option(help="Numbers of passages to read, such as 20,100.")] = "20,100",
    clients: Annotated[int, typer.Option(min=1, help="Clients at once, at the first number; 1: none.")] = 16,
    passages: Annotated[
        str | None, typer.Option(help="SITE/COLLECTION or a folder in BEIR layout; by default words at random.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the medians count.")] = 7,
    as_json: Json = False,
) -> None:
    """Time rerankers side by side on equal weights, round by round, against the machine's own limit."""
    if model not in MODELS:
        raise SettingsError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    sizes = _numbers(candidates)
    with needing("hub"):
        from overfetch.benchmarks.reranking import compare

    with tempfile.TemporaryDirectory() as folder, progress_bar(f"timing {model}") as progress:
        comparison = compare(
            model,
            Path(folder),
            threads=read_environment().threads or os.cpu_count() or 1,
            sizes=sizes,
            clients=clients,
            rounds=rounds,
            passages=passages,
            progress=progress,
        )
    if as_json:
        print_json(comparison.model_dump())
    else:
        _print(comparison)


def _numbers(text: str) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise SettingsError(f"--candidates is {text!r}; give numbers from 1 up, such as 20,100")
    return found


def _print(comparison: "Comparison") -> None:
    counts = comparison.token_counts
    output.print(
        f"{comparison.threads} threads · {comparison.rounds} rounds · passages: {comparison.passages} · "
        f"first set {sum(counts)} tokens, longest {max(counts)}, as one padded batch {comparison.padding_waste:.0%} "
        "padding"
    )
    output.print(_limits(comparison))
    output.print(
        f"{'':24}{'candidates':>10}{'clients':>9}{'median ms':>11}{'p99 ms':>9}{'per s':>8}{'speedup':>9}"
        f"{'difference':>12}{'top 5':>7}{'of GEMM':>9}"
    )
    for row in comparison.rows:
        output.print(
            f"{row.name:24}{row.candidates:10}{row.clients:9}{row.median_ms:11.0f}{row.p99_ms:9.0f}"
            f"{row.requests_per_second:8.1f}{row.speedup:8.2f}x{row.max_score_difference:12.1e}"
            f"{row.top5_overlap:7.2f}{row.gemm_share:9.0%}{'*' if row.gemm_note else ''}"
        )
    for row in comparison.rows:
        if row.gemm_note:
            output.print(f"* {row.name}, {row.candidates} candidates, {row.clients} clients: {row.gemm_note}")


def _limits(comparison: "Comparison") -> str:
    said = [
        f"{name.replace('_', ' ')} {limit.gflops:.0f} ({limit.lowest:.0f} to {limit.highest:.0f})"
        for name, limit in comparison.gemm_limits.items()
    ]
    return f"GEMM limits in GFLOP/s, beside every row: {', '.join(said)}; fp32 by {comparison.gemm_library}"

"""`overfetch eval --answers`: whether what is cited holds."""

from typing import TYPE_CHECKING

from rich.markup import escape

from overfetch.cli.console import with_sample_if_missing
from overfetch.cli.progress import query_progress
from overfetch.cli.terminal import notice, output, print_json
from overfetch.engine import Engine
from overfetch.evaluation.known import require_known
from overfetch.extras import needing
from overfetch.judged import JudgedQueries
from overfetch.workspace import Workspace

if TYPE_CHECKING:
    from overfetch.evaluation.answers import AnswerEvaluation


def evaluate_answers(
    workspace: Workspace, engine: Engine, collection: str, judged: JudgedQueries, *, own: bool, as_json: bool
) -> None:
    with needing("eval"):
        from overfetch.evaluation.answers import evaluate_answers as run

    def work() -> "AnswerEvaluation":
        require_known(engine, collection, judged, notice, own=own)
        with query_progress(f"asking {len(judged.queries)} questions") as progress:
            return run(engine, collection, judged, progress=progress)

    result = with_sample_if_missing(workspace, engine, collection, work)
    if as_json:
        print_json(result.model_dump())
    else:
        _print(result)


def _print(result: "AnswerEvaluation") -> None:
    by = f"answered by {result.lm}" if result.lm else "answered extractively"
    output.print(f"[bold]{escape(result.collection)}[/bold] · {result.questions} questions · {escape(by)}")
    for name, value in result.metrics.items():
        output.print(escape(f"{name:12}{value.mean:6.3f} [{value.low:.3f}, {value.high:.3f}]"))
    output.print(escape(", ".join(f"{count} {mode}" for mode, count in result.modes.items())))
    output.print(f"{result.answer_ms.p50:.0f} ms (p50), {result.answer_ms.p95:.0f} ms (p95)")
    for reason, count in result.reasons.items():
        output.print(f"[dim]{count} x {escape(reason)}[/dim]")

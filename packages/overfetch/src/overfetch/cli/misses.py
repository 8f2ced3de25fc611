"""`overfetch eval --explain`: which stage lost what is relevant."""

from typing import TYPE_CHECKING

from rich.markup import escape

from overfetch.cli.progress import query_progress
from overfetch.cli.terminal import output, print_json
from overfetch.engine import Engine
from overfetch.extras import needing
from overfetch.judged import JudgedQueries
from overfetch.settings import SettingsOptions

if TYPE_CHECKING:
    from overfetch.evaluation.misses import Miss

EXAMPLES = 3  # of each stage
SNIPPET = 160


def explain_misses(
    engine: Engine, collection: str, judged: JudgedQueries, settings: SettingsOptions, *, literal: bool, as_json: bool
) -> None:
    with needing("eval"):
        from overfetch.evaluation.misses import ADVICE, SHOWN
        from overfetch.evaluation.misses import explain_misses as explain

    with query_progress(f"searching {len(judged.queries)} queries") as progress:
        found = explain(engine, collection, judged, literal=literal, progress=progress, **settings)
    if as_json:
        print_json(found.model_dump())
        return
    told = f"{found.found} of {found.relevant} relevant documents are among the first {SHOWN}"
    output.print(f"[bold]{escape(found.collection)}[/bold] · {found.queries} queries · {told}")
    for stage, number in found.stages.items():
        output.print(f"{number:5}  [bold]{stage}[/bold] ({found.gain[stage]:.3f} of recall): {ADVICE[stage]}")
        for miss in [miss for miss in found.misses if miss.stage == stage][:EXAMPLES]:
            _print_miss(miss)


def _print_miss(miss: "Miss") -> None:
    places = {"dense": miss.dense, "bm25": miss.bm25, "first stage": miss.first_stage_rank, "final": miss.rank}
    where = ", ".join(f"{name} {place or '-'}" for name, place in places.items())
    output.print(escape(f"         {miss.query_id} {miss.query!r}: {miss.document} ({where})"))
    for name, text in (("missed", miss.passage), ("first", miss.first)):
        output.print(f"           [dim]{name}: {escape(' '.join(text.split())[:SNIPPET])}[/dim]")

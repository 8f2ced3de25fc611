"""`overfetch eval --fit-refusals`: when nothing that is found answers."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

from overfetch.cli.console import opened_collection, with_sample_if_missing
from overfetch.cli.progress import query_progress
from overfetch.cli.terminal import output, print_json
from overfetch.errors import SettingsError
from overfetch.extras import needing
from overfetch.refusing import RefusalRules

if TYPE_CHECKING:
    from overfetch.evaluation.refusals import Point, Refusals


def fit_refusals(target: str, queries: Path | None, split: str, profile: str | None, *, as_json: bool) -> None:
    """Fits the rule of SITE/COLLECTION under this profile, keeps it and prints how well it does."""
    if queries is None:
        raise SettingsError("--fit-refusals needs --queries: a site's own judged queries all have an answer")
    with needing("eval"):
        from overfetch.evaluation.refusals import fit_refusals as fit

    with opened_collection(target, profile) as (workspace, engine, collection):

        def work() -> "Refusals":
            with query_progress("reading judged questions") as progress:
                return fit(engine, collection, queries, split, progress=progress)

        found = with_sample_if_missing(workspace, engine, collection, work)
        path = workspace.environment.refusals_of(found.collection)
        known = RefusalRules.read(path) if path.exists() else RefusalRules()
        known.with_rule(found.rule).write(path)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, path)


def _print(found: "Refusals", path: Path) -> None:
    counts = f"{found.answerable} answerable, {found.unanswerable} unanswerable questions"
    output.print(f"[bold]{escape(found.collection)}[/bold] · {counts}")
    output.print("wrongly refused   refused   below")
    _print_point(found.first_stage, "what the first stage knows, alone")
    for point in found.curve:
        _print_point(point, "")
    if found.unread:
        output.print(f"{found.unread} questions were not read in full: the rule says nothing of them")
    output.print(escape(f"kept in {path}; used from now on, with threshold {found.rule.threshold:.3f}"))


def _print_point(point: "Point", note: str) -> None:
    output.print(escape(f"{point.wrongly:14.1%}{point.refused:11.1%}{point.threshold:8.3f}   {note}".rstrip()))

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
    from overfetch.evaluation.refusals import Refusals, Refused, Share


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
        if found.pays:
            known = RefusalRules.read(path) if path.exists() else RefusalRules()
            known.with_rule(found.rule).write(path)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, path)


def _print(found: "Refusals", path: Path) -> None:
    counts = f"{found.answerable} answerable, {found.unanswerable} unanswerable questions"
    output.print(f"[bold]{escape(found.collection)}[/bold] · {counts}")
    output.print(f"{'wrongly refused [95% interval]':36}{'refused':36}below")
    _print_line(found.first_stage, "", "what the first stage knows, alone")
    for point in found.curve:
        _print_line(point, f"{point.threshold:.3f}")
    _print_line(found.held_out, "", "by weights and thresholds that had not seen the question")
    output.print(
        "weights are cross-validated, but the thresholds were chosen on these questions: the last line says more"
    )
    if found.unread:
        output.print(f"{found.unread} questions were not read in full: the rule says nothing of them")
    if found.pays:
        output.print(escape(f"kept in {path}; used from now on, with threshold {found.rule.threshold:.3f}"))
    else:
        output.print("not kept: it refuses nothing that the first stage does not; whatever rule there was stays")


def _print_line(refused: "Refused", *notes: str) -> None:
    shares = "".join(f"{_told(share):36}" for share in (refused.wrongly, refused.refused))
    output.print(escape(f"{shares}{'   '.join(notes)}".rstrip()))


def _told(share: "Share") -> str:
    return f"{share.count} of {share.of}, {share.share:.1%} [{share.low:.1%}, {share.high:.1%}]"

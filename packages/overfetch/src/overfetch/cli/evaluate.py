"""`overfetch eval`: what the second stage is worth on judged queries."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape

from overfetch.cli import refusals
from overfetch.cli.answers import evaluate_answers
from overfetch.cli.console import (
    Json,
    Profile,
    ending_errors,
    index_with_progress,
    opened_collection,
    with_sample_if_missing,
)
from overfetch.cli.misses import explain_misses
from overfetch.cli.progress import query_progress
from overfetch.cli.search import FirstStage, Literal, RerankLm, TopK
from overfetch.cli.terminal import notice, output, print_json
from overfetch.engine import Engine
from overfetch.environment import read_environment
from overfetch.errors import SettingsError
from overfetch.evaluation.collections import DEPTH, as_site, open_test_workspace
from overfetch.evaluation.known import require_known
from overfetch.evaluation.saving import Command, require_own, save, sums_of
from overfetch.extras import needing
from overfetch.judged import JudgedQueries, read_judged_queries
from overfetch.settings import FirstStage as FirstStageName
from overfetch.settings import Fusion as FusionName
from overfetch.settings import SettingsOptions
from overfetch.sites import load_site, site_names
from overfetch.workspace import Workspace

if TYPE_CHECKING:
    from overfetch.evaluation.evaluating import Evaluation

Queries = Annotated[
    Path | None,
    typer.Option(help="With SITE/COLLECTION: folder with queries.jsonl and qrels/*.tsv; by default the site's own."),
]
Train = Annotated[str, typer.Option(help="Judgements to learn from: qrels/TRAIN.tsv.")]
Test = Annotated[str, typer.Option(help="Judgements that decide: qrels/TEST.tsv.")]
Split = Annotated[str, typer.Option(help="Which judgements: qrels/SPLIT.tsv.")]
Fusion = Annotated[str | None, typer.Option(help="How dense and BM25 lists merge: rrf or dbsf.")]
OrderWeight = Annotated[float | None, typer.Option(help="Reranker's share in the final order; 1: its scores alone.")]
Save = Annotated[
    Path | None,
    typer.Option(
        "--save", file_okay=False, help="Folder for what each stage ranked, as TREC runs, and each query's figures."
    ),
]


@ending_errors
def evaluate(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(help="Folder in BEIR layout, or SITE/COLLECTION, with --queries of your own.")
    ],
    queries: Queries = None,
    split: Split = "test",
    first_stage: FirstStage = None,
    fusion: Fusion = None,
    rerank: Annotated[bool, typer.Option("--rerank/--no-rerank", help="Second stage on or off.")] = True,
    rerank_lm: RerankLm = None,
    top_k: TopK = None,
    order_weight: OrderWeight = None,
    literal: Literal = False,
    answers: Annotated[
        bool, typer.Option("--answers", help="With SITE/COLLECTION: whether its answers cite what holds.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Put each relevant document that was missed to the stage that lost it.")
    ] = False,
    fit_refusals: Annotated[
        bool, typer.Option("--fit-refusals", help="With SITE/COLLECTION: fit when `ask` says that nothing answers.")
    ] = False,
    limit_queries: Annotated[int | None, typer.Option(min=1, help="Only the first queries.")] = None,
    save_to: Save = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Compare the first stage with the reranked order on judged queries."""
    settings = SettingsOptions(
        first_stage=cast(FirstStageName | None, first_stage),  # checked with each request, as all of them
        fusion=cast(FusionName | None, fusion),
        top_k=top_k,
        rerank=rerank,
        rerank_lm=rerank_lm,
        order_weight=order_weight,
    )
    if fit_refusals:
        _require_as_served(
            "--fit-refusals", target, settings, literal=literal, limit_queries=limit_queries, save=save_to
        )
        refusals.fit_refusals(target, queries, split, profile, as_json=as_json)
        return
    if answers:
        _require_as_served("--answers", target, settings, literal=literal, save=save_to)
        with opened_collection(target, profile) as (workspace, engine, collection):
            judged = read_judged_queries(judged_of(engine, collection, queries), split, limit_queries)
            evaluate_answers(workspace, engine, collection, judged, own=queries is None, as_json=as_json)
        return
    if explain and save_to:
        raise SettingsError("--explain tells of misses, it measures nothing that --save could keep: leave out either")
    own = queries is None
    queries = queries_of(target, queries)
    folder = queries or judged_folder(target)
    judged = read_judged_queries(folder, split, limit_queries)
    command = _command(ctx, profile)
    if save_to:
        require_own(save_to, command)
    opening = opened_collection(target, profile) if queries else opened_test_collection(folder, profile)
    with opening as (workspace, engine, collection):
        if queries:
            settings["one_per_document"] = True
        else:
            settings["top_n"] = top_k or DEPTH
            index_with_progress(engine, collection)
        name = profile or workspace.environment.profile
        if explain:
            explain_misses(engine, collection, judged, settings, literal=literal, as_json=as_json)
            return
        evaluation = with_sample_if_missing(
            workspace,
            engine,
            collection,
            lambda: _run(engine, collection, judged, name, settings, own=own, literal=literal),
        )
    named = evaluation.collection if queries else folder.resolve().name
    evaluation = evaluation.model_copy(update={"collection": named, "judgements": sums_of(folder, split)})
    if save_to:
        save(save_to, command, judged, evaluation)
        notice(f"kept in {save_to}")
    if as_json:
        print_json(evaluation.model_dump())
    else:
        _print(evaluation)
        choosing = "dev" if (folder / "qrels" / "dev.tsv").exists() else split  # never on what decides
        _print_left_out(evaluation, target, queries=None if own else queries, profile=profile, split=choosing)


def _command(ctx: typer.Context, profile: str | None) -> Command:
    """What decides what is ranked, by the options' names."""
    given = ctx.params | {"profile": profile or read_environment().profile}
    apart = ("as_json", "save_to")
    return {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in given.items()
        if value is not None and name not in apart
    }


def _require_as_served(mode: str, target: str, settings: SettingsOptions, **others: object) -> None:
    """Raises SettingsError naming the options that would be passed over in silence; a folder answers nothing."""
    unset = {"rerank": True, "literal": False}
    given = [name for name, value in {**settings, **others}.items() if value != unset.get(name)]
    if given:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise SettingsError(f"{mode} asks as the collection is set: it takes no {named}")
    if Path(target).is_dir() and target.partition("/")[0] not in site_names():
        raise SettingsError(f"{mode} asks a site's collection, not the folder {target!r}: give SITE/COLLECTION")


@contextmanager
def opened_test_collection(folder: Path, profile: str | None) -> Iterator[tuple[Workspace, Engine, str]]:
    """The engine of a test collection and the name of its one collection."""
    site = as_site(folder)
    with open_test_workspace(profile, notice) as workspace:
        yield workspace, workspace.site(site, profile=profile), site.ask


def queries_of(target: str, given: Path | None) -> Path | None:
    """The folder given, else that of the judged queries that a site brings along for SITE/COLLECTION."""
    if given is not None:
        return given
    site, _, collection = target.partition("/")
    if not collection or site not in site_names() or Path(target).is_dir():
        return None
    return load_site(site).collection(collection).judged


def judged_folder(target: str) -> Path:
    folder = Path(target)
    if not folder.is_dir():
        raise SettingsError(
            f"{target!r} is no folder; give a test collection's folder, or SITE/COLLECTION with --queries FOLDER"
        )
    return folder


def judged_of(engine: Engine, collection: str, given: Path | None) -> Path:
    """The folder given, else the one that the collection names. Raises SettingsError."""
    folder = given or engine.site.collection(collection).judged
    if folder is None:
        name = engine.name_of(collection)
        raise SettingsError(f"{name} has no judged queries of its own; give their folder with --queries")
    return folder


def _run(
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    profile: str,
    settings: SettingsOptions,
    *,
    own: bool,
    literal: bool,
) -> "Evaluation":
    require_known(engine, collection, judged, notice, own=own and engine.site.collection(collection).judged is not None)
    with needing("eval"):
        from overfetch.evaluation.evaluating import evaluate as run

    with query_progress(f"evaluating {len(judged.queries)} queries") as progress:
        return run(engine, collection, judged, profile, literal=literal, progress=progress, **settings)


OF_KINDS = ("success@5", "mrr@5", "recall@20", "ndcg@10")
ADVICE = {
    "on": "reranking pays on these queries",
    "off": "reranking hurts on these queries: --no-rerank, or rerank=False in the collection's settings",
    "undecided": "no gain or loss beyond chance: judge more queries, or do without reranking (--no-rerank)",
}


def _print(evaluation: "Evaluation") -> None:
    output.print(f"[bold]{escape(evaluation.collection)}[/bold] · {evaluation.queries} queries · {evaluation.profile}")
    reranking = f"{'reranked':>10}   difference [95% interval]" if evaluation.reranked else ""
    output.print(f"{'':12}{'first stage':>12}{reranking}")
    for metric, first in evaluation.first_stage.items():
        line = f"{metric:12}{first:12.3f}"
        if evaluation.reranked and evaluation.difference:
            line += f"{evaluation.reranked[metric]:10.3f}   {evaluation.difference[metric].gain}"
        output.print(escape(line))
    if cut := [metric for metric in evaluation.first_stage if int(metric.partition("@")[2]) > evaluation.top_k]:
        output.print(f"only {evaluation.top_k} are retrieved for a query (top_k): so are {', '.join(cut)} measured")
    _print_kinds(evaluation)
    if evaluation.rerank_ms:
        took = f"{evaluation.rerank_ms.p50:.0f} ms (p50), {evaluation.rerank_ms.p95:.0f} ms (p95)"
        output.print(escape(f"rerank {took} by {evaluation.provenance['reranker']}"))
    if evaluation.recommendation and evaluation.difference:
        output.print(f"{ADVICE[evaluation.recommendation]} (nDCG@10: {evaluation.difference['ndcg@10'].tested})")
    if evaluation.fell_back:
        told = f"of {evaluation.queries} queries the language model gave no order"
        output.print(f"{evaluation.fell_back} {told}: the reranker did")
    if evaluation.not_reranked:
        output.print(f"{evaluation.not_reranked} queries were not reranked in full: they count as they came")


def _print_kinds(evaluation: "Evaluation") -> None:
    """What is shown last for each kind that the queries' writer named: whether it finds, and how far up."""
    for kind, found in evaluation.kinds.items() if len(evaluation.kinds) > 1 else ():
        shown = found.reranked or found.first_stage
        told = ", ".join(f"{metric} {shown[metric]:.3f}" for metric in OF_KINDS)
        output.print(escape(f"  {kind} ({found.queries}): {told}"))


def _print_left_out(evaluation: "Evaluation", target: str, **options: object) -> None:
    """Of long passages, and the command that compares budgets."""
    budget = int(evaluation.provenance.get("read_tokens", 0))
    if not budget or evaluation.truncated_tokens < 1:
        return
    left_out = f"{evaluation.truncated_tokens:,.0f} of long passages left out"
    output.print(f"{budget:,} tokens are read for a query, {left_out}; what other budgets bring:")
    given = [part for name, value in options.items() if value for part in (f"--{name}", str(value))]
    rows = ["--rows", "long passages", "--budgets", f"{budget // 2},{budget * 2},0"]
    output.print(escape(f"  {shlex.join(['overfetch', 'ablate', target, *given, *rows])}"))

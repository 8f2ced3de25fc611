"""`overfetch tune`: fine-tune the reranker on a collection's own judged queries; install it only if it is better."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from overfetch.backends import ready_folder
from overfetch.cli.console import (
    Json,
    Profile,
    ending_errors,
    index_with_progress,
    keeping,
    opened_collection,
    with_sample_if_missing,
)
from overfetch.cli.evaluate import Queries, Test, Train, judged_folder, opened_test_collection, queries_of
from overfetch.cli.progress import progress_bar
from overfetch.cli.terminal import notice, output, print_json
from overfetch.engine import Engine
from overfetch.evaluation.collections import DEPTH
from overfetch.evaluation.known import require_known
from overfetch.extras import needing
from overfetch.judged import read_judged_queries
from overfetch.settings import SettingsOptions
from overfetch.tuned import remove as remove_tuned
from overfetch.tuned import tuned_folder
from overfetch.tuning import EPOCHS
from overfetch.workspace import Workspace

if TYPE_CHECKING:
    from overfetch.tuning.tuning import Tuning

METRICS = ("recall@5", "mrr@5", "ndcg@10")


@ending_errors
def tune(
    target: Annotated[
        str, typer.Argument(help="SITE/COLLECTION, with --queries of your own, or a folder in BEIR layout.")
    ],
    queries: Queries = None,
    train: Train = "train",
    test: Test = "test",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training queries.")] = EPOCHS,
    remove: Annotated[bool, typer.Option("--remove", help="Go back to the profile's own reranker.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Fine-tune the reranker on judged queries; it serves this collection only if better on those it did not see."""
    queries = queries_of(target, queries)
    is_folder = queries is None and Path(target).is_dir()
    opening = opened_test_collection(Path(target), profile) if is_folder else opened_collection(target, profile)
    with opening as (workspace, engine, collection):
        folder = tuned_folder(workspace.environment.tuned, engine.name_of(collection))
        if remove:
            _print_removed(engine.name_of(collection), remove_tuned(folder), as_json)
            return
        with keeping(lambda: f"nothing was installed; what served {engine.name_of(collection)} still does"):
            result = _run(workspace, engine, collection, queries, target, (train, test), folder, epochs)
    if as_json:
        print_json(result.model_dump())
    else:
        _print(result)


def _run(
    workspace: Workspace,
    engine: Engine,
    collection: str,
    queries: Path | None,
    target: str,
    splits: tuple[str, str],
    folder: Path,
    epochs: int,
) -> "Tuning":
    with needing("tune"):
        from overfetch.tuning.tuning import tune as run

    train, test = (read_judged_queries(queries or judged_folder(target), split) for split in splits)
    settings = SettingsOptions(top_n=DEPTH, one_per_document=True)
    if queries is None:  # a test collection: its documents are whole, as in `eval`
        index_with_progress(engine, collection)
        settings = SettingsOptions(top_n=DEPTH)
    base = ready_folder(engine.reranker.spec, workspace.environment)

    def work() -> "Tuning":
        for part in (train, test):
            require_known(engine, collection, part, notice, own=engine.site.collection(collection).judged == queries)
        return run(
            engine, collection, train, test, base=base, target=folder, epochs=epochs, watch=progress_bar, **settings
        )

    return with_sample_if_missing(workspace, engine, collection, work)


def _print_removed(collection: str, removed: bool, as_json: bool) -> None:
    if as_json:
        print_json({"collection": collection, "removed": removed})
    else:
        output.print(f"{collection}: {'tuned reranker removed' if removed else 'no tuned reranker to remove'}")


def _print(result: "Tuning") -> None:
    output.print(
        f"[bold]{escape(result.collection)}[/bold] · trained on {result.trained_on} of {result.train_queries} queries, "
        f"tested on {result.test_queries} · order_weight {result.order_weight}"
    )
    output.print(f"{'':12}{'first stage':>12}{'present':>10}{'tuned':>10}")
    for metric in METRICS:
        tuned = f"{result.tuned[metric]:10.3f}" if result.tuned else ""
        output.print(f"{metric:12}{result.first_stage[metric]:12.3f}{result.current[metric]:10.3f}{tuned}")
    output.print(escape(f"{'installed' if result.installed else 'not installed'}: {result.reason}"))

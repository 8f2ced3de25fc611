"""`overfetch fit`: BM25's parameters and the fusion, chosen on a collection's judged queries."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from overfetch.bm25 import Bm25
from overfetch.cli.console import Json, Profile, ending_errors, opened_collection
from overfetch.cli.evaluate import Queries, Split, judged_of
from overfetch.cli.progress import progress_bar
from overfetch.cli.terminal import notice, output, print_json
from overfetch.evaluation.known import require_known
from overfetch.extras import needing
from overfetch.judged import read_judged_queries

if TYPE_CHECKING:
    from overfetch.evaluation.fitting import Choice, Fit

TOLD = {
    "best": "the fit pays",
    "measured": "the fit brings nothing beyond chance: only the average length is set",
    "as it is": "the fit brings nothing beyond chance, and the measured length loses: keep what is",
}
METRICS = ("mrr@5", "recall@5", "recall@20", "ndcg@10")


@ending_errors
def fit(
    target: Annotated[str, typer.Argument(help="SITE/COLLECTION.")],
    queries: Queries = None,
    split: Split = "dev",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Choose k1, b, average length and stop words of BM25, and the fusion; print the lines for the site's settings."""
    with needing("eval"):
        from overfetch.evaluation.fitting import fit as run

    with opened_collection(target, profile) as (_, engine, collection):
        folder = judged_of(engine, collection, queries)
        judged = read_judged_queries(folder, split)
        require_known(engine, collection, judged, notice, own=queries is None)
        with progress_bar("fitting") as progress:
            result = run(engine, collection, judged, f"{folder.resolve().name}/{split}", progress=progress)
    if as_json:
        print_json(result.model_dump())
    else:
        _print(result)


def _print(result: "Fit") -> None:
    output.print(
        f"[bold]{escape(result.collection)}[/bold] · first stage alone · {result.queries} queries · "
        f"{result.passages:,} passages"
    )
    output.print(f"{'':26}{''.join(f'{metric:>10}' for metric in METRICS)}   nDCG@10 against as it is")
    named = {
        "as it is": result.as_it_is,
        "average length measured": result.measured,
        "fitted, on held-out folds": result.held_out,
    }
    for name, fitted in named.items():
        gain = fitted.difference["ndcg@10"]
        against = "" if fitted is result.as_it_is else f"   {gain.told}"
        output.print(escape(f"{name:26}{''.join(f'{fitted.metrics[m]:10.3f}' for m in METRICS)}{against}"))
    if result.best.choice:
        output.print(escape(f"best of all queries: {_settings(result.best.choice)}"))
    output.print(TOLD[result.kept])
    if result.kept != "as it is":
        output.print("for the site's settings; `overfetch index` then weighs anew, without a model:")
        output.print(escape(_settings(result.choice)))


def _settings(choice: "Choice") -> str:
    """As it stands in a site's settings."""
    changed = {
        name: value for name, value in choice.bm25.model_dump().items() if value != Bm25.model_fields[name].default
    }
    bm25 = f"bm25=Bm25({', '.join(f'{name}={value!r}' for name, value in changed.items())})"
    weight = f", bm25_weight={choice.bm25_weight:g}" if choice.fusion == "rrf" else ""
    return f"{bm25}, retrieval=RetrievalSettings(fusion={choice.fusion!r}{weight})"

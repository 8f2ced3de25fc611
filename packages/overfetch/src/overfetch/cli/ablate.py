"""`overfetch ablate`: each choice of a collection against what else it could be."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.markup import escape

from overfetch.cli.console import Json, Profile, ending_errors, index_with_progress, opened_collection
from overfetch.cli.evaluate import Queries, Split, judged_of, opened_test_collection
from overfetch.cli.progress import progress_bar
from overfetch.cli.terminal import notice, output, print_json
from overfetch.errors import SettingsError
from overfetch.evaluation.known import require_known
from overfetch.extras import needing
from overfetch.judged import read_judged_queries

if TYPE_CHECKING:
    from overfetch.evaluation.ablating import Ablation, Group, Row
    from overfetch.evaluation.evaluating import Percentiles
    from overfetch.evaluation.metrics import Difference

METRICS = {"mrr@5": "MRR@5", "recall@5": "recall@5", "recall@20": "recall@20", "ndcg@10": "nDCG@10"}
COMPARED = ("mrr@5", "ndcg@10")


@ending_errors
def ablate(
    target: Annotated[str, typer.Argument(help="SITE/COLLECTION, or a folder in BEIR layout.")],
    queries: Queries = None,
    split: Split = "dev",
    rows: Annotated[
        str | None,
        typer.Option(
            help="Groups of rows, such as 'first stage,top_k'; by default all but 'chunks', which are indexed."
        ),
    ] = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="More rows of 'long passages': tokens read for a query, such as '3000,12000,0'; 0: all."),
    ] = None,
    timed: Annotated[int, typer.Option(min=0, help="Queries to take the time of, on a quiet machine.")] = 20,
    limit_queries: Annotated[int | None, typer.Option(min=1, help="Only the first queries.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for a README.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Change one choice at a time: first stage, understanding, top_k, reranker, long passages, chunks."""
    with needing("eval"):
        from overfetch.evaluation.ablating import GROUPS
        from overfetch.evaluation.ablating import ablate as run

    groups, tokens = _groups(rows, GROUPS), _budgets(budgets)
    is_folder = queries is None and Path(target).is_dir()
    opening = opened_test_collection(Path(target), profile) if is_folder else opened_collection(target, profile)
    with opening as (workspace, engine, collection):
        if is_folder:
            queries = Path(target)
            index_with_progress(engine, collection)
        judged = read_judged_queries(judged_of(engine, collection, queries), split, limit_queries)
        require_known(engine, collection, judged, notice, own=queries is None)
        result = run(
            workspace,
            engine,
            collection,
            judged,
            profile=profile or workspace.environment.profile,
            groups=groups,
            budgets=tokens,
            timed=timed,
            watch=progress_bar,
        )
    if is_folder:
        result = result.model_copy(update={"collection": Path(target).resolve().name})
    if as_json:
        print_json(result.model_dump())
    elif markdown:
        _print_markdown(result)
    else:
        _print_table(result)


def _groups(named: str | None, known: tuple["Group", ...]) -> list["Group"]:
    """Raises SettingsError naming those there are."""
    wanted = known[:-1] if named is None else [name.strip() for name in named.split(",")]
    for name in wanted:
        if name not in known:
            raise SettingsError(f"no rows {name!r}; there are: {', '.join(known)}")
    return [cast("Group", name) for name in wanted]


def _budgets(given: str | None) -> list[int]:
    """Raises SettingsError on what is no number of tokens."""
    named = [number.strip() for number in given.split(",")] if given else []
    for number in named:
        if not number.isdecimal():
            raise SettingsError(f"{number!r} is no budget of tokens; give numbers such as 3000,12000,0 (0: all)")
    return [int(number) for number in named]


def _cells(row: "Row", *, mark: str) -> list[str]:
    """Of one line of a table; what differs beyond chance is marked."""
    gains = row.difference or {}
    values = [_marked(f"{row.metrics[m]:.3f}", gains.get(m), mark) for m in METRICS]
    against = [gains[m].gain if m in gains else "" for m in COMPARED]
    spent = ["" if row.search_ms is None else f"{row.search_ms:.0f}", _spread(row.rerank_ms), _spread(row.tokens_read)]
    return [*values, *against, *spent]


def _spread(spent: "Percentiles | None") -> str:
    return f"{spent.p50:,.0f} ({spent.p95:,.0f})" if spent else ""


def _marked(text: str, gain: "Difference | None", mark: str) -> str:
    beyond_chance = gain is not None and (gain.gains or gain.loses)
    return f"{mark}{text}{mark}" if beyond_chance else text


def _columns(result: "Ablation") -> list[str]:
    against = [f"{METRICS[m]} against chosen" for m in COMPARED]
    return ["", *METRICS.values(), *against, *(["search ms", "rerank ms", "tokens read"] if result.timed else [])]


def _lines(result: "Ablation", mark: str) -> list[list[str]]:
    rows = [("chosen", result.chosen), *((f"{row.group}: {row.name}", row) for row in result.rows)]
    return [[name, *_cells(row, mark=mark)][: len(_columns(result))] for name, row in rows]


def _print_table(result: "Ablation") -> None:
    timed = f" · milliseconds and tokens: medians of {result.timed} (95th percentiles)" if result.timed else ""
    output.print(f"[bold]{escape(result.collection)}[/bold] · {result.queries} queries{timed}")
    lines = [_columns(result), *_lines(result, mark="*")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for name, *cells in lines:
        values = "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        output.print(escape(f"{name:{widths[0]}}{values}"))
    output.print("* beyond chance: by the 95% interval and by a paired sign-flip test, p < 0.05")
    output.print(escape(f"chosen: {result.chosen.name}"))


def _print_markdown(result: "Ablation") -> None:
    columns = _columns(result)
    lines = [columns, ["---"] * len(columns), *_lines(result, mark="**")]
    lines[2][0] = f"**chosen** ({result.chosen.name})"
    output.print("\n".join(f"| {' | '.join(line)} |" for line in lines), markup=False)

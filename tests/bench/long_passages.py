"""Whole pages as passages: what a query takes and how well it orders, for several budgets of tokens a query.

    uv run --group dev python tests/bench/long_passages.py [FOLDER ...] [--pages PAGES.jsonl] [--profile mini]
        [--budgets 3000,6000,0] [--queries 150] [--json]

FOLDER is a collection in BEIR layout; `--pages` makes one of whole pages of 500 to 3,000 words, whose sections'
headings are the queries (those of three and more words that occur once). 0 reads all; the profile's own budget comes
first. Milliseconds are of whole searches, no score remembered; the gain is over reading all.
"""

import argparse
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from overfetch import split_at_headings
from overfetch.environment import read_environment
from overfetch.evaluation.collections import as_site, open_test_workspace
from overfetch.evaluation.evaluating import search_judged
from overfetch.evaluation.metrics import Values, means, measure, paired_difference
from overfetch.judged import JudgedQueries, read_judged_queries
from overfetch.models import find_profile

WORDS, SEED = range(500, 3001), 7
SHOWN = ("ndcg@10", "mrr@5")

Measured = tuple[Values, list[float], int]  # metrics, milliseconds, tokens that were left out


def write_pages(pages: Path, folder: Path) -> Path:
    """As a collection: each heading of a page, but for its title, asks for that page."""
    documents = [json.loads(line) for line in pages.read_text(encoding="utf-8").splitlines()]
    documents = [own for own in documents if len(own["text"].split()) in WORDS]
    paths = [(path, own["_id"]) for own in documents for path, _ in split_at_headings(own["text"])]
    asked = [(path[-1], page) for path, page in paths if len(path) > 1]
    times = Counter(heading for heading, _ in asked)
    fit = [(heading, page) for heading, page in asked if times[heading] == 1 and len(heading.split()) > 2]
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = ({"_id": own["_id"], "title": "", "text": own["text"]} for own in documents)
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    queries = [{"_id": f"q{number}", "text": heading} for number, (heading, _) in enumerate(fit)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    rows = [f"q{number}\t{page}\t1" for number, (_, page) in enumerate(fit)]
    (folder / "qrels/test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return folder


def drawn(folder: Path, most: int) -> JudgedQueries:
    judged = read_judged_queries(folder, "test")
    queries = random.Random(SEED).sample(judged.queries, min(most, len(judged.queries)))
    return judged.model_copy(update={"queries": tuple(queries)})


def search_all(folder: Path, judged: JudgedQueries, profile: str, budget: int | None) -> Measured:
    os.environ["OVERFETCH_CACHED_SCORES"] = "0"
    os.environ.pop("OVERFETCH_RERANK_TOKENS", None)
    if budget is not None:
        os.environ["OVERFETCH_RERANK_TOKENS"] = str(budget)
    run, milliseconds, left = dict[str, list[str]](), list[float](), 0
    site = as_site(folder)
    with open_test_workspace(profile) as workspace:
        engine = workspace.site(site, profile=profile)
        engine.index(site.ask)
        engine.warm_up()
        for query in track(judged.queries, f"{folder.name} {budget}", console=Console(stderr=True)):
            found = search_judged(engine, site.ask, query)
            run[query.id] = [hit.passage.document_id for hit in found.hits]
            milliseconds.append(found.timings_ms.total)
            left += found.truncated_tokens or 0
    qrels = {query.id: judged.qrels[query.id] for query in judged.queries}
    return measure(qrels, run), milliseconds, left


def rows(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    judged = drawn(folder, options.queries)
    budgets: Sequence[int | None] = [None, *map(int, options.budgets.split(","))]
    found = {budget: search_all(folder, judged, options.profile, budget) for budget in dict.fromkeys([*budgets, 0])}
    for budget, (values, milliseconds, left) in found.items():
        own = find_profile(options.profile).reranker.read_tokens if budget is None else budget
        yield {
            "collection": folder.name,
            "queries": len(judged.queries),
            "budget": f"{own or 'all'}{' (the profile)' if budget is None else ''}",
            "p50": float(np.percentile(milliseconds, 50)),
            "p95": float(np.percentile(milliseconds, 95)),
            "left_out": left / len(judged.queries),
            **{metric: means(values)[metric] for metric in SHOWN},
            **{f"{m} gain": paired_difference(found[0][0][m], values[m]).model_dump() for m in SHOWN},
        }


def show(row: dict[str, Any]) -> None:
    gains = "  ".join(
        f"{m} {row[m]:.3f} ({g['mean']:+.3f} [{g['low']:+.3f}, {g['high']:+.3f}])"
        for m in SHOWN
        for g in [row[f"{m} gain"]]
    )
    print(
        f"{row['collection']:14} {row['budget']:20} p50 {row['p50']:6.0f} ms  p95 {row['p95']:6.0f} ms  {gains}", end=""
    )
    print(f"  {row['left_out']:.0f} tokens left out of a query's list")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--pages", type=Path)
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--budgets", default="3000,0")
    parser.add_argument("--queries", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cache = read_environment().cache / "long-passages"  # where the index of a test collection is kept too
    made = [write_pages(options.pages, cache / options.pages.resolve().parent.name)] if options.pages else []
    found = [row for own in [*options.folders, *made] for row in rows(own, options)]
    if options.json:
        print(json.dumps(found, indent=2))
    for row in () if options.json else found:
        show(row)


if __name__ == "__main__":
    main()

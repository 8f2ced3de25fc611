"""First stage against reranked, on the sites' own query sets.

    uv run python tests/bench/site_quality.py --split test [--profile mini] [--order-weight W] [--json]

Indexes the sample corpora, which the query sets were written for, in a temporary folder. A query's own `as_of`,
`from` and `to` are honoured. Metrics by ir-measures over documents.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import ir_measures
from ir_measures import RR, R, nDCG

from overfetch import DateRange, Engine, Environment, open_site, parse_date

EVALS = Path(__file__).parents[2] / "shared/evals"
MEASURES = {"recall@5": R @ 5, "mrr@5": RR @ 5, "ndcg@5": nDCG @ 5}
SITES = ("builddaily", "paiddaily", "sagedaily")


def read_queries(folder: Path, split: str) -> tuple[list[dict[str, Any]], list[ir_measures.Qrel]]:
    rows = [line.split("\t") for line in (folder / f"qrels/{split}.tsv").read_text().splitlines()[1:]]
    qrels = [ir_measures.Qrel(query, document, int(score)) for query, document, score in rows]
    wanted = {q.query_id for q in qrels}
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    return [q for q in queries if q["_id"] in wanted], qrels


def run(engine: Engine, collection: str, queries: list[dict[str, Any]], **settings: Any) -> list[ir_measures.ScoredDoc]:
    """The documents that the site's own k and n keep, each at its best passage."""
    run_: list[ir_measures.ScoredDoc] = []
    for query in queries:
        where: list[Any] = []
        if "from" in query or "to" in query:
            bounds = {"start": query.get("from"), "end": query.get("to")}
            where = [DateRange(field="date", **{k: parse_date(v) for k, v in bounds.items() if v})]
        hits = engine.search(
            collection,
            query["text"],
            where=where,
            as_of=query.get("as_of"),
            one_per_document=True,
            **settings,
        ).hits
        run_ += [ir_measures.ScoredDoc(query["_id"], hit.passage.document_id, -hit.rank) for hit in hits]
    return run_


def measure(engine: Engine, collection: str, split: str, weight: float | None) -> dict[str, Any]:
    queries, qrels = read_queries(EVALS / engine.site.name / collection, split)
    stages = {
        "first": run(engine, collection, queries, rerank=False),
        "reranked": run(engine, collection, queries, rerank=True, order_weight=weight),
    }
    scores = {
        stage: {name: ir_measures.calc_aggregate([m], qrels, found)[m] for name, m in MEASURES.items()}
        for stage, found in stages.items()
    }
    return {"collection": engine.name_of(collection), "split": split, "queries": len(queries), **scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--order-weight", type=float, help="1 for logits alone; by default the model's own")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = Environment(qdrant=f"file:{folder}", profile=options.profile)
        for name in SITES:
            with open_site(name, environment=environment) as engine:
                for collection in engine.site.collections:
                    engine.index(collection.name)
                    rows.append(measure(engine, collection.name, options.split, options.order_weight))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    macro = {stage: {m: fmean(row[stage][m] for row in rows) for m in MEASURES} for stage in ("first", "reranked")}
    rows.append({"collection": "mean", "queries": sum(row["queries"] for row in rows), **macro})
    for row in rows:
        shown = "  ".join(f"{m} {row['first'][m]:.3f} -> {row['reranked'][m]:.3f}" for m in MEASURES)
        print(f"{row['collection']:24} {row['queries']:3} queries  {shown}")


if __name__ == "__main__":
    main()

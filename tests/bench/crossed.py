"""Whether a reranker reads: crossed sets, in which neither the passage alone nor shared words can tell; judged lists.

    uv run --group dev python tests/bench/crossed.py [--models mini,mini-fast] [--files dev-six-1,...] [--json]
        [--reranker onnx:FOLDER]

`first`: the right passage above all its siblings. `both`: of two siblings, each above the other for its own query.
By logits alone, over the dev files that nothing is trained on (packages/overfetch-mini/training/written.py), with
chance and what counting shared words finds beside them. Then nDCG@10 of the judged lists that are held out
(training/judged.py), beside that of their candidates in no order. `--reranker` reads in the models' place, such as an
export.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from reranking import replaced

from overfetch import open_reranker
from overfetch.evaluation.metrics import means, measure
from overfetch.protocols import Reranker

sys.path.append(str(Path(__file__).parents[2] / "packages/overfetch-mini/training"))

from judged import JudgedList, read_judged
from written import DEV, FOLDER, ContrastSet, chance, found_by_words, read_sets

Logits = Sequence[Sequence[float]]


def first(logits: Logits) -> list[bool]:
    """Of each query; a tie is lost."""
    return [
        all(row[place] > score for other, score in enumerate(row) if other != place) for place, row in enumerate(logits)
    ]


def both(logits: Logits) -> list[bool]:
    """Of each pair of siblings; a tie is lost."""
    pairs = combinations(range(len(logits)), 2)
    return [logits[a][a] > logits[a][b] and logits[b][b] > logits[b][a] for a, b in pairs]


def read(reranker: Reranker, sets: Sequence[ContrastSet]) -> dict[str, float]:
    scored = [[reranker.score(query, s.passages).logits for query in s.queries] for s in sets]
    return {
        name: fmean(hit for logits in scored for hit in of(logits)) for name, of in (("first", first), ("both", both))
    }


def order(lists: Sequence[JudgedList], logits: Sequence[Sequence[float]]) -> float:
    """Mean nDCG@10 of the candidates as the logits order them."""
    qrels = {str(number): {str(place): g for place, g in enumerate(one.grades)} for number, one in enumerate(lists)}
    run = {str(number): [*map(str, np.argsort(-np.array(own), kind="stable"))] for number, own in enumerate(logits)}
    return means(measure(qrels, run))["ndcg@10"]


def read_lists(rerankers: Mapping[str, Reranker]) -> dict[str, float]:
    lists = [one for one in read_judged() if one.held_out and len(set(one.grades)) > 1]
    found = {"questions": len(lists), "in no order": order(lists, [[0.0] * len(one.grades) for one in lists])}
    for model, reranker in rerankers.items():
        found[model] = order(lists, [reranker.score(one.query, one.passages).logits for one in lists])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mini,mini-fast", help="profiles, comma separated")
    parser.add_argument("--files", default=",".join(DEV))
    parser.add_argument("--reranker", help="onnx:FOLDER or tokens:FOLDER")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rerankers = {model: replaced(open_reranker(model), options.reranker) for model in options.models.split(",")}
    found: dict[str, Any] = {}
    for name in options.files.split(","):
        sets = list(read_sets(FOLDER / f"{name}.jsonl"))
        queries = sum(len(s.queries) for s in sets)
        found[name] = {"queries": queries, "chance": chance(sets), "shared words": found_by_words(sets)}
        found[name] |= {model: read(reranker, sets) for model, reranker in rerankers.items()}
        if not options.json:
            show(name, found[name], [*rerankers])
    found["judged"] = read_lists(rerankers)
    if options.json:
        print(json.dumps(found))
    else:
        print("judged lists, nDCG@10:", ", ".join(f"{name} {value:.3g}" for name, value in found["judged"].items()))


def show(name: str, found: dict[str, Any], models: Sequence[str]) -> None:
    told = f"{name}: {found['queries']} queries; by chance first {found['chance']:.3f}, both .250"
    print(f"{told}; by shared words first {found['shared words']:.3f}")
    for model in models:
        print(f"  {model}: first {found[model]['first']:.3f}, both {found[model]['both']:.3f}", flush=True)


if __name__ == "__main__":
    main()

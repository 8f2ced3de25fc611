"""Whether a reranker reads: crossed sets, in which neither the passage alone nor shared words can tell.

    uv run python tests/bench/crossed.py [--models mini,mini-fast] [--files dev-six-1,...] [--json]
        [--reranker onnx:FOLDER]

`first`: the right passage above all its siblings. `both`: of two siblings, each above the other for its own query.
By logits alone, over the dev files that nothing is trained on (packages/overfetch-mini/training/written.py), with
chance and what counting shared words finds beside them. `--reranker` reads in the models' place, such as an export.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

from reranking import replaced

from overfetch import open_reranker
from overfetch.protocols import Reranker

sys.path.append(str(Path(__file__).parents[2] / "packages/overfetch-mini/training"))

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
    if options.json:
        print(json.dumps(found))


def show(name: str, found: dict[str, Any], models: Sequence[str]) -> None:
    told = f"{name}: {found['queries']} queries; by chance first {found['chance']:.3f}, both .250"
    print(f"{told}; by shared words first {found['shared words']:.3f}")
    for model in models:
        print(f"  {model}: first {found[model]['first']:.3f}, both {found[model]['both']:.3f}", flush=True)


if __name__ == "__main__":
    main()

"""What reranking adds over many collections, for several shares of the reranker in the final order, in one pass.

    uv run python tests/bench/reranking.py ../shared/data/eval/{cranfield:test_no_minus1,cisi,medline} [--sites dev]
        [--weights 0.1,0.3,1] [--fusion rrf|dbsf] [--profile mini] [--reranker KIND:FOLDER] [--limit-queries N] [--json]

A collection is FOLDER or FOLDER:SPLIT in BEIR layout; `--sites SPLIT` adds the five sample collections of the sites,
indexed in a temporary folder. Every candidate is scored once; each weight then orders the same candidates.
`--reranker` puts another in the place of the profile's: `onnx:FOLDER`, an export such as `export.py` leaves, or
`tokens:FOLDER`, late interaction over the token vectors of a bi-encoder as it is (`minilm` for all-MiniLM-L6-v2's).
The macro mean weighs collections alike; its interval resamples queries within each collection.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from late_interaction import MINILM, LateInteraction
from rich.progress import track

from overfetch import Environment, open_site
from overfetch.evaluation.candidates import Candidates, find_candidates, rank
from overfetch.evaluation.collections import DEPTH, open_test_collection
from overfetch.evaluation.metrics import Values, macro_difference, means, measure, paired_difference
from overfetch.inference.onnx import OnnxReranker
from overfetch.judged import JudgedQueries, read_judged_queries
from overfetch.protocols import Reranker

EVALS = Path(__file__).parents[2] / "shared/evals"
SITES = ("builddaily", "paiddaily", "sagedaily")
SHOWN = ("ndcg@10", "mrr@5", "recall@5")

Ranked = dict[float, Values]  # by weight; 0 is the first stage


class Searched(NamedTuple):
    """A collection, what its first stage found for the judged queries, and the profile's reranker, still open."""

    name: str
    judged: JudgedQueries
    found: list[Candidates]
    reranker: Reranker


def search_folders(names: Sequence[str], profile: str, limit: int | None = None, **settings: Any) -> Iterator[Searched]:
    for name in names:
        folder, _, split = name.partition(":")
        judged = read_judged_queries(Path(folder), split or "test", limit)
        with open_test_collection(Path(folder), profile=profile) as engine:
            engine.index(engine.site.ask)
            found = find_candidates(engine, engine.site.ask, judged, top_n=DEPTH, **settings)
            yield Searched(Path(name).name, judged, found, engine.reranker)


def search_sites(split: str, profile: str, **settings: Any) -> Iterator[Searched]:
    with tempfile.TemporaryDirectory() as store:
        environment = Environment(qdrant=f"file:{store}", profile=profile)
        for site in SITES:
            with open_site(site, environment=environment) as engine:
                for collection in engine.site.collections:
                    engine.index(collection.name)
                    judged = read_judged_queries(EVALS / site / collection.name, split)
                    depth = {"top_n": collection.retrieval.top_k, "one_per_document": True, **settings}
                    found = find_candidates(engine, collection.name, judged, **depth)
                    yield Searched(engine.name_of(collection.name), judged, found, engine.reranker)


def search_all(options: argparse.Namespace, **settings: Any) -> Iterator[Searched]:
    """The collections that a command line names."""
    yield from search_folders(options.collections, options.profile, options.limit_queries, **settings)
    if options.sites:
        yield from search_sites(options.sites, options.profile, **settings)


def replaced(own: Reranker, given: str | None) -> Reranker:
    """What `--reranker` asks for, in the place of the profile's own."""
    kind, _, folder = (given or "").partition(":")
    if kind == "onnx":
        return OnnxReranker(Path(folder), own.spec)
    if kind == "tokens":
        return LateInteraction(MINILM if folder == "minilm" else Path(folder), own.spec)
    return own


def evaluate(searched: Searched, reranker: Reranker, weights: Sequence[float]) -> Ranked:
    pairs = [(c, reranker.score(c.query, c.passages).logits) for c in track(searched.found, searched.name)]
    qrels = searched.judged.qrels
    return {w: measure(qrels, {c.query_id: rank(c, logits, w) for c, logits in pairs}) for w in weights}


def summarise(found: dict[str, Ranked], weights: Sequence[float]) -> dict[str, Any]:
    """Macro means and gains by weight, and each collection's own."""
    return {
        str(w): {
            metric: {
                "macro": sum(means(r[w])[metric] for r in found.values()) / len(found),
                "gain": macro_difference([(r[0][metric], r[w][metric]) for r in found.values()]).model_dump(),
                "collections": {
                    name: {
                        "value": means(r[w])[metric],
                        "gain": paired_difference(r[0][metric], r[w][metric]).model_dump(),
                    }
                    for name, r in found.items()
                },
            }
            for metric in SHOWN
        }
        for w in weights
    }


def show(summary: dict[str, Any]) -> None:
    for weight, metrics in summary.items():
        for metric, values in metrics.items():
            print(f"weight {weight:4} {metric:8} macro {values['macro']:.4f}  gain {_interval(values['gain'])}")
            for name, own in values["collections"].items():
                print(f"    {name:24} {own['value']:.4f}  gain {_interval(own['gain'])}")


def _interval(gain: dict[str, float]) -> str:
    return f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


def make_parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("collections", nargs="*")
    parser.add_argument("--sites", choices=("dev", "test"))
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--limit-queries", type=int)
    return parser


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--weights", default="0.1,0.2,0.3,0.4,0.5,1")
    parser.add_argument("--fusion", choices=("rrf", "dbsf"))
    parser.add_argument("--reranker", help="onnx:FOLDER or tokens:FOLDER")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    weights = [0.0, *map(float, options.weights.split(","))]
    found = {
        s.name: evaluate(s, replaced(s.reranker, options.reranker), weights)
        for s in search_all(options, fusion=options.fusion)
    }
    summary = summarise(found, weights)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        show(summary)


if __name__ == "__main__":
    main()

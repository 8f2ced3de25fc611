"""Milliseconds to rerank 20 passages, each reranker in turn, round by round, in one process.

    uv run python tests/bench/latency.py [--profiles mini,mini-fast] [--exact FOLDER] [--rounds 15] [--json]

Passages are cut from the sample pages to log-normal lengths, 137 tokens on average (the query and the special tokens
come on top), so that padding, truncation and caches behave as with real candidates. `--exact` adds an fp32 export.
"""

import argparse
import json
import os
import time
from pathlib import Path
from statistics import median

import numpy as np
from tokenizers import Tokenizer

from overfetch import load_site
from overfetch.backends import load_reranker, ready_folder
from overfetch.benchmarks.passages import QUERY, log_normal_passages
from overfetch.environment import read_environment
from overfetch.inference.onnx import OnnxReranker
from overfetch.models import find_profile
from overfetch.protocols import Reranker

PASSAGES = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", default="mini,mini-fast")
    parser.add_argument("--exact", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    environment = read_environment().model_copy(update={"cached_scores": 0})
    specs = [find_profile(name).reranker for name in options.profiles.split(",")]
    rerankers: dict[str, Reranker] = {s.name: load_reranker(s, environment) for s in specs}
    if options.exact:
        rerankers["fp32 export"] = OnnxReranker(options.exact, specs[0], environment.threads)
    folder = ready_folder(specs[0], environment)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = " ".join(document.text for document in load_site("builddaily").collections[0].read())
    passages = log_normal_passages(tokenizer, text, PASSAGES)
    spent: dict[str, list[float]] = {name: [] for name in rerankers}
    for round_ in range(options.rounds + 1):
        for name, reranker in rerankers.items():
            began = time.perf_counter()
            reranker.score(QUERY, passages)
            if round_:  # the first warms up
                spent[name].append(1000 * (time.perf_counter() - began))
    tokens = [len(tokenizer.encode(p, add_special_tokens=False).ids) for p in passages]
    shape = {"passages": PASSAGES, "mean_tokens": float(np.mean(tokens)), "longest": max(tokens)}
    rows = {name: round(median(times), 1) for name, times in spent.items()}
    found = {"threads": environment.threads or os.cpu_count(), **shape, "median_ms": rows}
    if options.json:
        print(json.dumps(found))
    else:
        print("\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()

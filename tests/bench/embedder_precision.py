"""What float16 weights of the default embedder cost or save, beside its fp32 export: time, memory, vectors.

    uv run python tests/bench/embedder_precision.py --exact FOLDER [--rounds 15] [--json]

FOLDER is what `embedder.py --exact` leaves. Both in turn, round by round, in one process: a query of 8 tokens and 64
passages cut from the sample pages to log-normal lengths, 137 tokens on average. Loading and the peak of memory are
those of fresh processes, in turn too, each of which then embeds the query.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from overfetch import load_site
from overfetch.benchmarks.passages import log_normal_passages
from overfetch.environment import read_environment
from overfetch.inference.onnx import OnnxEmbedder
from overfetch.inference.preparing import prepared_folder
from overfetch.models import find_profile
from overfetch.protocols import Vectors

QUERY, PASSAGES, PROCESSES = "which reranker runs locally", 64, 9
FRESH = """
import json, sys, time
from pathlib import Path
from overfetch.inference.onnx import OnnxEmbedder
from overfetch.models import find_profile
began = time.perf_counter()
embedder = OnnxEmbedder(Path(sys.argv[1]), find_profile("mini").embedder)
loaded = time.perf_counter() - began
embedder.embed_queries([sys.argv[2]])
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"load_ms": 1000 * loaded, "peak_mb": int(status["VmHWM"].split()[0]) / 1024}))
"""


def read_passages(folder: Path) -> list[str]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = " ".join(document.text for document in load_site("builddaily").collections[0].read())
    return log_normal_passages(tokenizer, text, PASSAGES)


def milliseconds(runs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Medians; the first round warms up."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            run()
            if number:
                spent[name].append(1000 * (time.perf_counter() - began))
    return {name: round(median(times), 2) for name, times in spent.items()}


def in_fresh_processes(folders: dict[str, Path]) -> dict[str, dict[str, float]]:
    """Medians; peaks as Linux counts them."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in folders}
    for _ in range(PROCESSES):
        for name, folder in folders.items():
            command = [sys.executable, "-c", FRESH, str(folder), QUERY]
            found[name].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
    return {name: {key: round(median(row[key] for row in rows), 1) for key in rows[0]} for name, rows in found.items()}


def differences(one: Vectors, other: Vectors) -> dict[str, float]:
    cosines = np.sum(one * other, axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return {"smallest_cosine": float(cosines.min()), "largest_difference": float(np.abs(one - other).max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exact", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    environment, spec = read_environment(), find_profile("mini").embedder
    folders = {"fp32 export": options.exact, "ships": prepared_folder(spec, environment.cache)}
    embedders = {name: OnnxEmbedder(folder, spec, environment.threads) for name, folder in folders.items()}
    passages = read_passages(folders["ships"])
    queries = {name: partial(embedder.embed_queries, [QUERY]) for name, embedder in embedders.items()}
    batches = {name: partial(embedder.embed_passages, passages) for name, embedder in embedders.items()}
    found = {
        "threads": environment.threads or os.cpu_count(),
        "mb": {name: round((folder / "model.onnx").stat().st_size / 1e6, 1) for name, folder in folders.items()},
        "query_ms": milliseconds(queries, 20 * options.rounds),
        "passages_ms": milliseconds(batches, options.rounds),
        "fresh": in_fresh_processes(folders),
        "passages": differences(*(embedder.embed_passages(passages) for embedder in embedders.values())),
    }
    print(json.dumps(found) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()

"""What a sync costs: a first run over a corpus, an unchanged one, 1% of the texts changed, 1% of the metadata changed.

    uv run python tests/bench/sync.py [--documents N] [--profile mini] [--no-model] [--json]

The corpus is that of 39,148 companies in ../shared/data, indexed in process with the real models as the site
`paiddaily` chunks it, in a temporary folder. The time of each run counts everything but the program's start.
With --no-model, vectors are drawn at random instead: what remains is reading, chunking, comparing and storing.
"""

import argparse
import json
import os
import resource
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from generated import CORPORA, read_lines

from overfetch import Engine, open_site
from overfetch.environment import read_environment
from overfetch.models import ModelSpec
from overfetch.protocols import Vectors

COLLECTION, EVERY = "tickers", 100
COMPANIES = CORPORA / "tickers/companies.jsonl"


class RandomVectors:
    """In the place of an embedder: the same vector for the same text."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec

    def warm_up(self) -> None: ...

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        rows = [np.random.default_rng(zlib.crc32(t.encode())).standard_normal(self.spec.dimension) for t in texts]
        unit: Vectors = (np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return unit

    embed_queries = embed_passages

    def count_truncated(self, passages: Sequence[str]) -> int:
        return 0


def write(path: Path, records: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(record) + "\n" for record in records)


def changed(records: list[dict[str, Any]], **new: str) -> list[dict[str, Any]]:
    """Every hundredth record with the fields put before what they hold."""
    return [
        {**record, **{field: f"{value} {record[field]}" for field, value in new.items()}} if i % EVERY == 0 else record
        for i, record in enumerate(records)
    ]


def timed(engine: Engine, source: Path) -> dict[str, Any]:
    began = time.perf_counter()
    report = engine.index(COLLECTION, source)
    fields = ("added", "changed", "removed", "kept", "moved", "embedded")
    return {"seconds": round(time.perf_counter() - began, 2), **report.model_dump(include=set(fields))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int)
    parser.add_argument("--profile", default="mini")
    parser.add_argument("--no-model", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    records: list[dict[str, Any]] = read_lines(COMPANIES)[: options.documents]
    texts = changed(records, summary="Under review since this morning.")
    editions = {
        "first": records,
        "unchanged": records,
        "1% of texts": texts,
        "1% of metadata": changed(texts, industry="Former"),
    }
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = read_environment().model_copy(update={"qdrant": f"file:{folder}/store"})
        source = Path(folder) / "companies.jsonl"
        with open_site("paiddaily", profile=options.profile, environment=environment) as engine:
            if options.no_model:
                engine.embedder = RandomVectors(engine.embedder.spec)
            else:
                engine.embedder.warm_up()
            for name, edition in editions.items():
                write(source, edition)
                runs[name] = timed(engine, source)
    found = {
        "cores": os.cpu_count(),
        "documents": len(records),
        "embedder": "random vectors" if options.no_model else options.profile,
        "runs": runs,
        "unchanged_share": round(runs["unchanged"]["seconds"] / runs["first"]["seconds"], 4),
        "embedded_share": round(runs["1% of texts"]["embedded"] / runs["first"]["added"], 4),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }
    print(json.dumps(found) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()

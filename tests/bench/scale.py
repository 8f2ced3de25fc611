"""What a collection in process costs to build and to search as it grows: 384 dimensions, payloads, BM25 vectors.

    uv run python tests/bench/scale.py [--sizes 10000,100000,1000000] [--beside-client 50000] [--folder scale-bench]
        [--json]

Builds each collection once, in a process of its own, and keeps it in --folder with what building took: a second run
only searches. Passages are generated from ../shared/data (`generated.py`). Searches are the store's own, payloads
included, one at a time after all queries were asked once; recall is that of the dense list against exact products.
--beside-client fills qdrant-client's path mode with the first passages of the same kind, in a fresh folder.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from generated import SCHEMA, Source, blocks, nearest, passages_of, provenance, read_source
from qdrant_client import QdrantClient

from overfetch.environment import ServerSettings
from overfetch.filters import AnyOf, Condition
from overfetch.settings import RetrievalSettings
from overfetch.stores.edge import EdgeStore
from overfetch.stores.payloads import DENSE
from overfetch.stores.server_requests import collection, points

NAME, NAME_IN_CLIENT = "bench/generated", "generated"
BATCH, TOP_K, CLIENT_QUERIES = 256, 20, 50
FILTERS: dict[str, tuple[int, list[Condition]]] = {
    "all": (1, []),
    "10%": (10, [AnyOf(field="tenth", values=("0",))]),
    "1%": (100, [AnyOf(field="hundredth", values=("0",))]),
}


def megabytes_of(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*")) >> 20


def peak_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def build(folder: Path, size: int) -> None:
    """Leaves the collection below `folder`, and beside it what it took."""
    source, own = read_source(folder), folder / str(size)
    store, writing = EdgeStore(own), 0.0
    with store.write(NAME, provenance(), SCHEMA, rebuild=True) as writer:
        for block, count in blocks(size):
            passages = passages_of(source, block, count)
            began = time.perf_counter()
            for start in range(0, count, BATCH):
                writer.upsert(passages[start : start + BATCH])
            writing += time.perf_counter() - began
            print(f"{block * count + count:,} written", file=sys.stderr)
        written_at = time.perf_counter()
    found = {
        "passages": size,
        "upserts_per_s": round(size / writing),
        "index_s": round(time.perf_counter() - written_at, 1),
        "build_peak_mb": peak_megabytes(),
        "disk_mb": megabytes_of(own),
    }
    (folder / f"{size}.json").write_text(json.dumps(found), encoding="utf-8")


def search(folder: Path, size: int) -> dict[str, Any]:
    source, store = read_source(folder), EdgeStore(folder / str(size))
    began = time.perf_counter()
    store.count(NAME)
    found: dict[str, Any] = {"open_ms": round(1000 * (time.perf_counter() - began))}
    for name, (every, conditions) in FILTERS.items():
        wanted = nearest(source, size, TOP_K, every)
        found[name] = {
            stage: timed(store, source, conditions, RetrievalSettings(top_k=TOP_K, first_stage=stage), wanted)
            for stage in ("dense", "bm25", "hybrid")
        }
    return {**found, "search_peak_mb": peak_megabytes()}


def timed(
    store: EdgeStore, source: Source, conditions: list[Condition], settings: RetrievalSettings, wanted: list[set[str]]
) -> dict[str, float]:
    spent, recalls = [], []
    for query in source.queries:
        store.search(NAME, query, conditions, settings)
    for query, ids in zip(source.queries, wanted, strict=True):
        began = time.perf_counter()
        candidates = store.search(NAME, query, conditions, settings).candidates
        spent.append(1000 * (time.perf_counter() - began))
        recalls.append(len(ids & {c.passage.document_id for c in candidates}) / len(ids))
    recall = {"recall@20": round(float(np.mean(recalls)), 4)} if settings.first_stage == "dense" else {}
    return {"p50_ms": round(median(spent), 2), "p95_ms": round(float(np.percentile(spent, 95)), 2), **recall}


def fill_client(folder: Path, size: int) -> dict[str, Any]:
    """The same points, payloads and dense searches in qdrant-client's path mode."""
    source, writing, spent = read_source(folder), 0.0, []
    with tempfile.TemporaryDirectory(dir=folder) as path, warnings.catch_warnings(action="ignore"):
        client = QdrantClient(path=path)
        client.create_collection(NAME_IN_CLIENT, **collection(provenance(), ServerSettings()))
        for block, count in blocks(size):
            filled = points(passages_of(source, block, count))
            began = time.perf_counter()
            for start in range(0, count, BATCH):
                client.upsert(NAME_IN_CLIENT, filled[start : start + BATCH])
            writing += time.perf_counter() - began
        for query in source.queries[: CLIENT_QUERIES + 1]:
            began = time.perf_counter()
            client.query_points(NAME_IN_CLIENT, query.dense, using=DENSE, limit=TOP_K, with_payload=True)
            spent.append(1000 * (time.perf_counter() - began))
    return {"passages": size, "upserts_per_s": round(size / writing), "dense_p50_ms": round(median(spent[1:]), 2)}


def beside_client(folder: Path, size: int) -> dict[str, Any]:
    """Both in turn, with the ratios."""
    own = build_and_search(folder, size)
    client = json.loads(in_its_own_process(folder, "--client", size))
    return {
        "store": {"upserts_per_s": own["upserts_per_s"], "dense_p50_ms": own["all"]["dense"]["p50_ms"]},
        "client": client,
        "upsert_ratio": round(own["upserts_per_s"] / client["upserts_per_s"], 1),
        "search_ratio": round(client["dense_p50_ms"] / own["all"]["dense"]["p50_ms"], 1),
    }


def build_and_search(folder: Path, size: int) -> dict[str, Any]:
    built = folder / f"{size}.json"
    if not built.exists():
        in_its_own_process(folder, "--build", size)
    searched = json.loads(in_its_own_process(folder, "--search", size))
    return {**json.loads(built.read_text(encoding="utf-8")), **searched}


def in_its_own_process(folder: Path, step: str, size: int) -> str:
    command = [sys.executable, __file__, "--folder", str(folder), step, str(size)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="none: only what else is asked for")
    parser.add_argument("--beside-client", type=int)
    parser.add_argument("--folder", type=Path, default=Path("scale-bench"))
    parser.add_argument("--json", action="store_true")
    for step in ("build", "search", "client"):
        parser.add_argument(f"--{step}", type=int, help="one step for this size, as the others call it")
    options = parser.parse_args()
    if options.build:
        build(options.folder, options.build)
    elif options.search:
        print(json.dumps(search(options.folder, options.search)))
    elif options.client:
        print(json.dumps(fill_client(options.folder, options.client)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    read_source(options.folder)
    sizes = [] if options.sizes == "none" else map(int, options.sizes.split(","))
    found: dict[str, Any] = {"cores": os.cpu_count(), "dimensions": 384, "top_k": TOP_K}
    found["rows"] = [build_and_search(options.folder, size) for size in sizes]
    if options.beside_client:
        found["beside_client"] = beside_client(options.folder, options.beside_client)
    if options.json:
        return print(json.dumps(found))
    for row in [*found.pop("rows"), found]:
        print("\n".join(f"{key}: {value}" for key, value in row.items()), end="\n\n")
    return None


if __name__ == "__main__":
    main()

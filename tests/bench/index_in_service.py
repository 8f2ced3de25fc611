"""How long searches wait while the same process indexes: the search index built in its own process, and in this one.

    uv run python tests/bench/index_in_service.py [--passages 12000] [--dimension 384] [--json]

One thread searches without a pause, as a service's worker does, while another publishes a generation. Prints the
milliseconds of the searches meanwhile, and the longest time that no search could end.
"""

import argparse
import json
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from overfetch import Chunk, Document, Passage, RetrievalSettings
from overfetch.protocols import EncodedPassage, EncodedQuery, SparseVector
from overfetch.provenance import Provenance
from overfetch.stores import edge_writing
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder

NAME = "bench/service"
TOP = RetrievalSettings(top_k=20)


def passages(count: int, dimension: int) -> list[EncodedPassage]:
    chance = np.random.default_rng(7)
    vectors = chance.normal(size=(count, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = []
    for number, vector in enumerate(vectors):
        document = Document(id=f"d{number}", title=f"Document {number}", text=f"text {number}")
        passage = Passage.of(document, 0, Chunk(breadcrumb=document.title, text="words " * 60))
        terms = sorted({int(t) for t in chance.zipf(1.3, 40) % 50_000})
        made.append(EncodedPassage(passage, vector, SparseVector(terms, [1.0] * len(terms))))
    return made


def publish(store: EdgeStore, content: list[EncodedPassage], made: Provenance) -> float:
    began = time.monotonic()
    with store.write(NAME, made, {}, rebuild=True) as writer:
        for start in range(0, len(content), 256):
            writer.upsert(content[start : start + 256])
    return time.monotonic() - began


def measure(content: list[EncodedPassage], own_process: bool) -> dict[str, float]:
    spec = FakeEmbedder().spec.model_copy(update={"dimension": len(content[0].dense)})
    made = Provenance.of(spec, "bench/1", "bench")
    edge_writing.OWN_PROCESS = 1000 if own_process else len(content) + 1
    with tempfile.TemporaryDirectory() as folder:
        store = EdgeStore(Path(folder))
        publish(store, content[:2000], made)
        ends, took, done = [time.monotonic()], list[float](), threading.Event()

        def search() -> None:
            number = 0
            while not done.is_set():
                asked = content[number % len(content)]
                store.search(NAME, EncodedQuery(asked.dense, asked.sparse), [], TOP)
                took.append(time.monotonic() - ends[-1])
                ends.append(time.monotonic())
                number += 97

        searching = threading.Thread(target=search)
        searching.start()
        seconds = publish(store, content, made)
        done.set()
        searching.join()
        store.close()
    p50, p95, p99 = np.percentile(took, [50, 95, 99]) * 1000
    return {
        "seconds": round(seconds, 1),
        "searches": len(took),
        "p50_ms": round(float(p50), 1),
        "p95_ms": round(float(p95), 1),
        "p99_ms": round(float(p99), 1),
        "longest_ms": round(max(took) * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=12_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    content = passages(options.passages, options.dimension)
    figures = {
        "passages": options.passages,
        "dimension": options.dimension,
        "cores": os.cpu_count(),
        "own_process": measure(content, True),
        "this_process": measure(content, False),
    }
    print(json.dumps(figures, indent=None if options.json else 2))


if __name__ == "__main__":
    main()

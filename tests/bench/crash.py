"""SIGKILL at random moments while a collection is written, swapped and rolled back, under four reading processes.

    uv run python tests/bench/crash.py [--rounds 120] [--documents 600] [--dimension 64] [--seed 7] [--json]

Each round takes another edition of a real corpus (a tenth of the documents changed, a twentieth gone) and starts a
process that indexes it from nothing, syncs it, is killed between the last batch and the swap, or rolls back. It is
killed at a random moment of what such a run takes: half of the times alone, half with the child that builds its search
index. Then: what is live is the old edition or the new one, whole; the next run completes; the collection equals a
clean build of the edition, id for id, hash for hash, vector for vector; nothing half-made is left. Meanwhile the
readers search: real queries, and a marker that every edition writes anew, which tells a mix of two.

`--documents 2673 --dimension 768` builds real search indexes (the engine begins at 10 MB of vectors), so that kills
meet them.
"""

import argparse
import contextlib
import json
import multiprocessing as mp
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from overfetch import Document, chunk_by_headings, load_site
from overfetch.errors import StoreError
from overfetch.indexing import Progress, index
from overfetch.protocols import EncodedQuery, Vectors
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.stores import edge_generations, edge_writing
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, words_of

NAME, FOLDER = "crash/canon", "crash--canon"
# Cut plainly: what the site's own chunker looks for takes more time than all that is written.
CANON = (
    load_site("sagedaily")
    .collection("canon")
    .model_copy(update={"chunk": lambda document: chunk_by_headings(document, 140), "chunker": "crash/1"})
)
CORPUS = Path(__file__).parents[3] / "shared/data/corpora/tarot-astrology/corpus.jsonl"
PHASES = ("starting", "beginning", "writing", "finishing", "swapping", "done")
# What is killed, and from which phase on.
ACTIONS = {"index": "beginning", "sync": "beginning", "swap": "finishing", "rollback": "starting"}
MARKERS = 20
MARKER = "crashmarker"
TOP = RetrievalSettings(top_k=20)
EVERY_MARKER = RetrievalSettings(top_k=4 * MARKERS, first_stage="bm25")


class Plan(NamedTuple):
    """What every process of the test works with."""

    root: Path
    source: Path
    documents: int
    dimension: int
    readers: int = 4


class WideEmbedder(FakeEmbedder):
    """The fake's hashed words, over as many dimensions as wanted."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.spec = self.spec.model_copy(update={"dimension": dimension})

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        narrow = super().embed_queries(texts)
        width = self.spec.dimension or 0
        wide = np.zeros((len(texts), width), dtype=np.float32)
        wide[:, : narrow.shape[1]] = narrow
        for row, text in enumerate(texts):
            wide[row, len(words_of(text)) * 7 % width] += 0.3
        unit: Vectors = wide / np.linalg.norm(wide, axis=1, keepdims=True)
        return unit


def edition(plan: Plan, number: int) -> list[Document]:
    """The corpus as of that edition, and the markers."""
    chance = random.Random(number)
    documents = list(CANON.read(plan.source))[: plan.documents]
    kept = [d for d in documents if chance.random() > 0.05]
    changed = [
        d.model_copy(update={"text": f"{d.text} Edition {number}."}) if chance.random() < 0.1 else d for d in kept
    ]
    markers = [
        documents[0].model_copy(update={"id": f"marker-{n}", "title": MARKER, "text": f"{MARKER} {n} edition{number}"})
        for n in range(MARKERS)
    ]
    return [*changed, *markers]


def write(plan: Plan, root: Path, number: int, rebuild: bool, progress: Progress = lambda done, total: None) -> int:
    """Indexes one edition; gives the passages embedded."""
    embedder = WideEmbedder(plan.dimension)
    store = EdgeStore(root)
    report = index(
        NAME,
        CANON,
        lambda: edition(plan, number),
        store=store,
        embedder=embedder,
        provenance=Provenance.of(embedder.spec, CANON.chunker, str(plan.source)),
        rebuild=rebuild,
        progress=progress,
    )
    store.close()
    return report.embedded


# The process that is killed, and the readers.


def act(plan: Plan, action: str, number: int, phase: Any, ready: Any) -> None:
    os.setsid()  # so that a kill can take its children too
    _watch(phase)
    ready.set()
    if action == "rollback":
        store = EdgeStore(plan.root)
        for _ in range(3):
            store.rollback(NAME)
    else:
        write(plan, plan.root, number, action == "index")
    phase.value = PHASES.index("done")


def _watch(phase: Any) -> None:
    """Tells the test how far the run is, for its report and for kills near the swap."""
    for owner, name, reached in (
        (edge_generations.GenerationFolder, "begin", "beginning"),
        (edge_writing.EdgeWriter, "upsert", "writing"),
        (edge_writing.EdgeWriter, "finish", "finishing"),
        (edge_generations.CollectionFolder, "point_at", "swapping"),
    ):
        setattr(owner, name, _telling(getattr(owner, name), phase, PHASES.index(reached)))
    edge_writing.CHECKPOINT_S = 0.1


def _telling(method: Callable[..., Any], phase: Any, reached: int) -> Callable[..., Any]:
    def told(*arguments: Any, **options: Any) -> Any:
        phase.value = reached
        return method(*arguments, **options)

    return told


def read(plan: Plan, seed: int, stop: Any, counts: Any) -> None:
    """Searches until told to stop; a failure ends the process with its traceback."""
    store, embedder = EdgeStore(plan.root), WideEmbedder(plan.dimension)
    chance = random.Random(seed)
    questions = [" ".join(words_of(d.text)[:8]) for d in list(CANON.read(plan.source))[:200]]
    marker = EncodedQuery(embedder.embed_queries([MARKER])[0], embed_sparse_query(MARKER))
    seen = Counter[str]()
    parent = mp.parent_process()
    while not stop.is_set() and parent and parent.is_alive():
        question = chance.choice(questions)
        query = EncodedQuery(embedder.embed_queries([question])[0], embed_sparse_query(question))
        found = store.search(NAME, query, [], TOP).candidates
        editions = {c.passage.text.split()[-1] for c in store.search(NAME, marker, [], EVERY_MARKER).candidates}
        if len(found) != TOP.top_k or len(editions) != 1:
            raise AssertionError(f"{len(found)} hits for {question!r}, markers of {sorted(editions)}")
        seen[editions.pop()] += 1
        counts[0] += 2
        counts[1] = len(seen)
        time.sleep(0.02)  # the machine is also needed for writing


# What is true after each kill.


def content(root: Path) -> dict[str, tuple[str, Any]]:
    """Content hash and vectors of every passage of the live generation."""
    from qdrant_edge import EdgeShard, ScrollRequest

    live = edge_generations.CollectionFolder(root / FOLDER).live()
    assert live is not None
    with live.opening():
        shard = EdgeShard.load(str(live.shard))
    found: dict[str, tuple[str, Any]] = {}
    offset = None
    while True:
        page = ScrollRequest(offset=offset, limit=4096, with_payload=["content_hash"], with_vector=True)
        records, offset = shard.scroll(page)
        found |= {str(r.id): ((r.payload or {})["content_hash"], r.vector) for r in records}
        if offset is None:
            shard.close()
            return found


def require_equal(found: dict[str, tuple[str, Any]], clean: dict[str, tuple[str, Any]], what: str) -> None:
    if {i: h for i, (h, _) in found.items()} != {i: h for i, (h, _) in clean.items()}:
        raise AssertionError(f"{what}: {len(found)} passages, {len(clean)} in the clean build, or other hashes")
    for passage_id, (_, vectors) in found.items():
        expected = clean[passage_id][1]
        same = np.allclose(vectors["dense"], expected["dense"], atol=1e-6)
        sparse = (vectors["bm25"].indices, vectors["bm25"].values) == (
            *(expected["bm25"].indices, expected["bm25"].values),
        )
        if not (same and sparse):
            raise AssertionError(f"{what}: passage {passage_id} has the vectors of another text")


def require_tidy(plan: Plan, *, had_work: bool) -> None:
    """Nothing is left but what is published. Where the kill came between the swap and the removal of what it replaced,
    the next run has no work and opens no writer: then that waits for one that has, or for `prune`.
    """
    store = EdgeStore(plan.root)
    if not had_work:
        store.prune(NAME, keep=2)
    states = [g.state for g in store.generations(NAME)]
    folders = len(list((plan.root / FOLDER / "generations").iterdir()))
    if states != ["live", "previous"][: len(states)] or folders != len(states):
        raise AssertionError(f"left behind: generations {states}, {folders} folders")


def run(plan: Plan, rounds: int, seed: int, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Raises AssertionError at the first thing that is not as promised; gives the figures else."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["crash"])
    chance = random.Random(seed)
    write(plan, plan.root, 0, True)
    stop = context.Event()
    counts = [context.Array("q", 2, lock=False) for _ in range(plan.readers)]
    readers = [context.Process(target=read, args=(plan, seed + n, stop, counts[n])) for n in range(plan.readers)]
    for reader in readers:
        reader.start()
    lasts = {action: _time(context, plan, action, number) for number, action in enumerate(ACTIONS, start=1)}
    figures: dict[str, Any] = {"phases": Counter(), "killed": Counter(), "completed": Counter(), "embedded_again": []}
    try:
        for number in range(rounds):
            action = list(ACTIONS)[number % len(ACTIONS)]
            _round(context, plan, action, 100 + number, chance, lasts, figures)
            failed = [reader.pid for reader in readers if not reader.is_alive()]
            if failed:
                raise AssertionError(f"readers {failed} failed in round {number} ({action})")
            say(f"round {number + 1} of {rounds}: {action}, {dict(figures['phases'])}")
    finally:
        stop.set()
        for reader in readers:
            reader.join(60)
    if any(reader.exitcode != 0 for reader in readers):
        raise AssertionError(f"readers ended with {[reader.exitcode for reader in readers]}")
    return {
        "rounds": rounds,
        "passages": len(content(plan.root)),
        "killed": dict(figures["killed"]),
        "completed_before_the_kill": dict(figures["completed"]),
        "killed_while": dict(figures["phases"]),
        "embedded_by_next_runs": figures["embedded_again"],
        "searches": sum(c[0] for c in counts),
        "editions_seen": max(c[1] for c in counts),
        "seconds_undisturbed": {action: round(lasts[action], 2) for action in ACTIONS},
    }


def _time(context: Any, plan: Plan, action: str, number: int) -> float:
    """Seconds that such a run takes where nobody kills it."""
    phase, ready = context.Value("i", 0, lock=False), context.Event()
    process = context.Process(target=act, args=(plan, action, number, phase, ready))
    process.start()
    ready.wait(60)
    _wait_until(process, phase, ACTIONS[action])
    began = time.monotonic()
    _wait_until(process, phase, "done")
    lasted = time.monotonic() - began
    process.join()
    if process.exitcode != 0:
        raise AssertionError(f"{action} failed without a kill")
    return lasted


def _wait_until(process: Any, phase: Any, reached: str) -> None:
    while phase.value < PHASES.index(reached) and process.is_alive():
        time.sleep(0.001)


def _round(
    context: Any,
    plan: Plan,
    action: str,
    number: int,
    chance: random.Random,
    lasts: dict[str, float],
    figures: dict[str, Any],
) -> None:
    old = content(plan.root)
    previous = _previous(plan) if action == "rollback" else None
    reached = _killed(context, plan, action, number, chance, lasts[action])
    figures["completed" if reached == "done" else "killed"][action] += 1
    figures["phases"][reached] += 1
    clean_root = plan.root.with_name("clean")
    shutil.rmtree(clean_root, ignore_errors=True)
    whole = write(plan, clean_root, number, True)
    clean = content(clean_root)
    now = content(plan.root)
    allowed = [old, previous] if action == "rollback" else [old, clean]
    hashes = [{i: h for i, (h, _) in one.items()} for one in allowed if one is not None]
    if {i: h for i, (h, _) in now.items()} not in hashes:
        raise AssertionError(f"{action}, killed while {reached}: what is live is neither the old nor the new edition")
    live = _live_name(plan)
    again = write(plan, plan.root, number, action == "index")
    if action != "rollback" and reached != "done":
        figures["embedded_again"].append(round(again / whole, 3))
    require_equal(content(plan.root), clean, f"{action}, killed while {reached}")
    require_tidy(plan, had_work=_live_name(plan) != live)


def _live_name(plan: Plan) -> str | None:
    return edge_generations.CollectionFolder(plan.root / FOLDER).pointer().live


def _previous(plan: Plan) -> dict[str, tuple[str, Any]] | None:
    """The generation that a rollback would make live."""
    store = EdgeStore(plan.root)
    try:
        store.rollback(NAME)
    except StoreError:
        return None
    found = content(plan.root)
    store.rollback(NAME)
    return found


def _killed(context: Any, plan: Plan, action: str, number: int, chance: random.Random, lasts: float) -> str:
    """Starts the run, kills it, and tells how far it was."""
    phase, ready = context.Value("i", 0, lock=False), context.Event()
    process = context.Process(target=act, args=(plan, action, number, phase, ready))
    process.start()
    ready.wait(60)
    _wait_until(process, phase, ACTIONS[action])
    time.sleep(chance.uniform(0, lasts))
    kill = os.killpg if chance.random() < 0.5 else os.kill
    with contextlib.suppress(ProcessLookupError):
        kill(process.pid, signal.SIGKILL)
    process.join(60)
    return PHASES[phase.value]


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=120)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--documents", type=int, default=600, help="the first of the corpus")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--source", type=Path, default=CORPUS if CORPUS.exists() else CANON.sample)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(list(arguments) if arguments is not None else None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(Path(folder) / "collections", options.source, options.documents, options.dimension)
        say = (lambda line: None) if options.json else (lambda line: print(line, file=sys.stderr))
        figures = run(plan, options.rounds, options.seed, say)
    figures |= {"dimension": options.dimension, "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    from crash import main as run_main  # the name under which the other processes know this module

    run_main()

"""Milliseconds of a spread of ten cards against one card, and what a budget of pairs costs in quality.

    uv run python tests/bench/spread.py [--source CORPUS.jsonl] [--parts 10] [--rounds 30] [--pairs 60] [--json]

Cards are drawn by a seed, each upright or reversed, for one of QUESTIONS. Each spread is retrieved within the budget
and without one, by turns in one process, models warm and no score remembered; the last line is the whole ask, quotes
and all. `read`: of all (card, question) pairs, those with a passage on the card itself first. `kept`: of the passages
kept without a budget, those kept within it. Without `--source`, the sample, in a folder of its own.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from overfetch import Answer, Engine, Retrieval, load_site, open_site
from overfetch.engine import Engine as Opened
from overfetch.environment import read_environment
from overfetch.requests import AskRequest

QUESTIONS = (
    "Should I leave my job before I have another one?",
    "Will he come back after the quarrel we had in spring?",
    "My mother is ill and lives far away: how do I carry this?",
    "We want to buy a house together, and I am afraid of the debt.",
    "Why do I always end up with people who want to control me?",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = read_environment().model_copy(update={"cached_scores": 0, "lm": None})
        if options.source is None:
            environment = environment.model_copy(update={"qdrant": f"file:{folder}"})
        with open_site("sagedaily", environment=environment) as engine:
            if not engine.is_indexed("canon"):
                engine.index("canon", *([options.source] if options.source else []))
            engine.warm_up()
            found = run(engine, options)
    print(json.dumps(found) if options.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


def run(engine: Engine, options: argparse.Namespace) -> dict[str, Any]:
    within, freely = with_pairs(engine, options.pairs), with_pairs(engine, None)
    draw = random.Random(0)
    spent: dict[str, list[float]] = {"one card": [], "spread": [], "spread, no budget": [], "spread, whole ask": []}
    first, kept = [], []
    for number in range(options.rounds):
        question, parts = QUESTIONS[number % len(QUESTIONS)], spread(draw, options.parts)
        timed(spent["one card"], partial(retrieve, within, question, parts[:1]))
        budgeted = timed(spent["spread"], partial(retrieve, within, question, parts))
        whole = timed(spent["spread, no budget"], partial(retrieve, freely, question, parts))
        timed(spent["spread, whole ask"], partial(ask, within, question, parts))
        first += [is_read(part, retrieval) for part, retrieval in zip(parts, budgeted, strict=True)]
        kept += [overlap(one, other) for one, other in zip(budgeted, whole, strict=True)]
    rows = {
        name: {f"p{p}_ms": round(float(np.percentile(times, p)), 1) for p in (50, 95)} for name, times in spent.items()
    }
    return {**rows, "read": f"{sum(first)} of {len(first)}", "kept": round(float(np.mean(kept)), 3)}


def with_pairs(engine: Engine, pairs: int | None) -> Engine:
    """The same engine with another budget."""
    collections = tuple(
        c.model_copy(update={"retrieval": c.retrieval.model_copy(update={"pairs": pairs})})
        for c in engine.site.collections
    )
    site = engine.site.model_copy(update={"collections": collections})
    return Opened(
        site, embedder=engine.embedder, reranker=engine.reranker, store=engine.store, rerankers=engine.rerankers
    )


def spread(draw: random.Random, parts: int) -> list[str]:
    """Cards of the sample that the real canon has too, none twice."""
    cards = sorted({str(d.metadata["sole"]) for d in load_site("sagedaily").collection("canon").read() if is_card(d)})
    return [f"{card.partition(':')[2]}, {draw.choice(('upright', 'reversed'))}" for card in draw.sample(cards, parts)]


def is_card(document: Any) -> bool:
    return str(document.metadata.get("sole")).startswith("card:")


def timed(spent: list[float], work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    found = work()
    spent.append(1000 * (time.perf_counter() - began))
    return found


def retrieve(engine: Engine, question: str, parts: list[str]) -> list[Retrieval]:
    return engine._retrieve_parts(AskRequest.of(question, parts=parts), question, time.monotonic())


def ask(engine: Engine, question: str, parts: list[str]) -> Answer:
    return engine.ask(question, parts=parts)


def is_read(part: str, retrieval: Retrieval) -> bool:
    return retrieval.hits[0].passage.metadata.get("sole") == f"card:{part.rpartition(', ')[0]}"


def overlap(one: Retrieval, other: Retrieval) -> float:
    kept = {hit.passage.id for hit in other.hits}
    return len(kept & {hit.passage.id for hit in one.hits}) / len(kept)


if __name__ == "__main__":
    main()

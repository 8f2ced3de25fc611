"""The shipped cross-encoders: ranking properties on queries they were never trained on."""

import json
import random
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest

from overfetch import load_site
from overfetch.backends import load_reranker
from overfetch.environment import read_environment
from overfetch.indexing import to_passages
from overfetch.models import read_models
from overfetch.protocols import Reranker

SPECS = [read_models()[0][name] for name in ("overfetch-mini", "overfetch-mini-fast")]
EVALS = Path(__file__).parents[2] / "shared/evals"
TRAIN_PAIRS = Path(__file__).parents[3] / "shared/data/train-pairs/pairs.jsonl"
COLLECTIONS = ["builddaily/resources", "paiddaily/tickers", "paiddaily/catalysts", "sagedaily/canon"]
DISTRACTORS = 7
CHARACTERS = 1_500  # of a document: all windows of long ones would take most of the time


@pytest.fixture(scope="module", params=SPECS, ids=lambda spec: spec.name)
def reranker(request: pytest.FixtureRequest) -> Reranker:
    return load_reranker(request.param, read_environment())


def judged(collection: str) -> list[tuple[str, str, set[str]]]:
    """(query, id of an exactly right document, ids of all relevant ones) of the test split."""
    folder = EVALS / collection
    texts = {q["_id"]: q["text"] for q in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())}
    rows = [line.split("\t") for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]]
    relevant: dict[str, set[str]] = defaultdict(set)
    for query, document, _ in rows:
        relevant[query].add(document)
    return [(texts[query], document, relevant[query]) for query, document, score in rows if score == "2"]


@cache
def texts(collection: str) -> dict[str, str]:
    """How each document of the sample begins, as the models read it."""
    site, _, name = collection.partition("/")
    chosen = load_site(site).collection(name)
    return {d.id: "\n".join(p.reading for p in to_passages(chosen, d))[:CHARACTERS] for d in chosen.read()}


def reciprocal_rank(scores: list[float]) -> float:
    """Of the first passage among all."""
    return 1 / (1 + sum(score > scores[0] for score in scores[1:]))


@pytest.mark.slow
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_true_order_beats_random_order_beats_inverse_order(collection: str, reranker: Reranker) -> None:
    read = texts(collection)
    draw = random.Random(7)
    true, inverse = [], []
    for query, right, relevant in draw.sample(judged(collection), 10):
        others = draw.sample([i for i in read if i not in relevant], DISTRACTORS)
        logits = reranker.score(query, [read[right], *(read[i] for i in others)]).logits
        true.append(reciprocal_rank(logits))
        inverse.append(reciprocal_rank([-logit for logit in logits]))
    by_chance = fmean(1 / rank for rank in range(1, DISTRACTORS + 2))
    assert fmean(true) > by_chance + 0.2
    assert fmean(inverse) < by_chance - 0.1


@pytest.mark.slow
@pytest.mark.real_data
def test_pairs_held_out_of_training_rank_first(reranker: Reranker) -> None:
    """The 5% of queries that `training/mine.py` sets aside by their hash."""
    if not TRAIN_PAIRS.exists():
        pytest.skip(f"needs {TRAIN_PAIRS}, which users do not have")
    from hashlib import md5

    with TRAIN_PAIRS.open(encoding="utf-8") as lines:
        pairs = [json.loads(line) for _, line in zip(range(6000), lines, strict=False)]
    held_out = [p for p in pairs if int(md5(p["query"].lower().encode()).hexdigest(), 16) % 20 == 0][:20]
    draw = random.Random(7)
    ranks = []
    for pair in held_out:
        others = [p["positive"] for p in draw.sample(pairs, DISTRACTORS) if p["positive"] != pair["positive"]]
        ranks.append(reciprocal_rank(reranker.score(pair["query"], [pair["positive"], *others]).logits))
    assert fmean(ranks) > 0.9

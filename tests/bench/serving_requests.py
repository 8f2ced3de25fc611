"""Requests for a service under load: distinct queries out of real sentences, in turn for each route and deadline."""

import itertools
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from generated import CORPORA, QUERY_WORDS, SEED, read_lines

from overfetch import Environment, Workspace

COLLECTIONS = [("builddaily", "chat"), ("sagedaily", "canon")]
DOCUMENTS = 20
SENTENCE = re.compile(r"(?<=[.!?])\s+")


class Asked(NamedTuple):
    """`kind` is `search`, `ask` or `rerank`."""

    kind: str
    path: str
    body: dict[str, Any]
    deadline_ms: float

    @property
    def headers(self) -> dict[str, str]:
        return {"Overfetch-Deadline-Ms": f"{self.deadline_ms:g}"}


@cache
def texts() -> list[str]:
    """Of some hundred words each."""
    records = read_lines(CORPORA / "tickers/companies.jsonl"), read_lines(CORPORA / "devtools-docs/sections.jsonl")
    return [r["summary"] for r in records[0]] + [r["text"] for r in records[1]]


def queries() -> Iterator[str]:
    """The first words of sentences, none twice; without end, since they are numbered where they come round again."""
    sentences = [s for text in texts() for s in SENTENCE.split(text) if 30 < len(s) < 300]
    begun = [*dict.fromkeys(" ".join(s.split()[:QUERY_WORDS]) for s in sentences)]
    random.Random(SEED).shuffle(begun)
    yield from begun
    for number in itertools.count(2):
        yield from (f"{query} {number}" for query in begun)


def rerank_bodies(model: str = "mini") -> Iterator[dict[str, Any]]:
    """Of `DOCUMENTS` passages, as Cohere's clients send them."""
    asking, read, chance = queries(), [text[:1_200] for text in texts() if text], random.Random(SEED)
    for query in asking:
        yield {"model": model, "query": query, "documents": chance.sample(read, DOCUMENTS)}


def requests_of(deadlines: Sequence[float]) -> Iterator[Asked]:
    """A search, a question and a rerank request in turn, of each collection and with each deadline."""
    asking, reranking = queries(), rerank_bodies()
    for number in itertools.count():
        kind = ("search", "ask", "rerank")[number % 3]
        site, collection = COLLECTIONS[number // 3 % len(COLLECTIONS)]
        deadline = deadlines[number // (3 * len(COLLECTIONS)) % len(deadlines)]
        if kind == "rerank":
            yield Asked(kind, "/v2/rerank", next(reranking), deadline)
        else:
            body = {"query" if kind == "search" else "question": next(asking)}
            yield Asked(kind, f"/v1/{site}/{collection}/{kind}", body, deadline)


@contextmanager
def indexed(folder: Path) -> Iterator[Workspace]:
    """The collections' samples in a store in `folder`, where the service finds them too."""
    with Workspace(Environment(qdrant=f"file:{folder / 'store'}", cached_scores=0)) as workspace:
        for site, collection in COLLECTIONS:
            workspace.site(site).index(collection)
        yield workspace

"""Every document of a request scored, or none: by the cross-encoder, and where it orders best together with a first
stage (`order_weight` below 1), together with embedder and BM25 scores of these very documents.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from overfetch.errors import DeadlineExceeded, SettingsError
from overfetch.fusion import fuse
from overfetch.ordering import combine
from overfetch.protocols import Embedder, Reranker, SparseVector, Vectors
from overfetch.scheduling import ahead, until, whole
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_passage, embed_sparse_query
from overfetch_serve.vendors.pace import Budget, Pace

SLICE = 64  # documents between two looks at the clock
CHARACTERS_A_TOKEN = 4  # of English


class Ranking(NamedTuple):
    """A score for each document, in the order given, and their places, best first."""

    scores: list[float]
    places: list[int]
    warnings: tuple[str, ...]
    truncated_tokens: int
    ms: float


class Ranker:
    """A profile's cross-encoder for passages from elsewhere."""

    def __init__(self, embedder: Embedder, reranker: Reranker) -> None:
        self.embedder = embedder
        self.reranker = reranker
        self._paces = {True: Pace(), False: Pace()}

    @property
    def weight(self) -> float:
        """The cross-encoder's share in the order."""
        return self.reranker.spec.order_weight

    def rank(self, query: str, documents: Sequence[str], budget: Budget, *, raw: bool = False) -> Ranking:
        """Scores from 0 to 1; with `raw` the cross-encoder's logits alone.

        Raises SettingsError on an empty query, TooMuch where there is no time for all, Overloaded and ModelError.
        """
        if not query.strip():
            raise SettingsError(f"the query is empty (given {query!r}); write what to rank the documents by")
        combined = not raw and self.weight < 1
        pace, sizes = self._paces[combined], [len(query) + len(document) for document in documents]
        pace.require(sizes, budget)
        began = time.monotonic()
        with whole(sum(sizes) // CHARACTERS_A_TOKEN * (1 + combined)):  # of the embedder too, which is as large
            logits, vectors, truncated = self._read(query, documents, budget.end, combined=combined)
        pace.settle(sizes, len(logits), time.monotonic() - began, budget)
        warnings = [f"{truncated} tokens were beyond what is read, and left out"] if truncated else []
        merit: Sequence[float] = logits
        if combined:
            dense = self.embedder.embed_queries([query])[0]
            merit = combine(first_stage(query, documents, dense, vectors), logits, self.weight)
            warnings.append(self._combined())
        scores = [*merit] if raw else [*map(sigmoid, merit)]
        places = sorted(range(len(merit)), key=lambda place: -merit[place])
        return Ranking(scores, places, tuple(warnings), truncated, (time.monotonic() - began) * 1_000)

    def _read(
        self, query: str, documents: Sequence[str], end: float, *, combined: bool
    ) -> tuple[list[float], list[Vectors], int]:
        """Logits and vectors of the first documents, as far as time allows; and how many tokens were cut."""
        logits: list[float] = []
        vectors: list[Vectors] = []
        truncated = 0
        for start in range(0, len(documents), SLICE):
            part = documents[start : start + SLICE]
            read = self.reranker.score(query, part, end)
            if len(read.logits) < len(part):
                break
            if combined:
                vectors += self._embed(part, end)
            logits += read.logits
            truncated += read.truncated_tokens or 0
        return logits[: len(vectors)] if combined else logits, vectors, truncated

    def _embed(self, documents: Sequence[str], end: float) -> list[Vectors]:
        """None where time ends before all of them are. They have waited for the reranker already."""
        try:
            with until(end), ahead():
                return [*self.embedder.embed_passages(documents)]
        except DeadlineExceeded:
            return []

    def _combined(self) -> str:
        reranker, embedder = self.reranker.spec.name, self.embedder.spec.name
        return (
            f"the logits of {reranker} count {self.weight:g} in the order, as was measured to be best, and scores of "
            f"{embedder} and BM25 over the documents of this request the rest; relevance_score compares documents of "
            "one request only"
        )


def first_stage(query: str, documents: Sequence[str], dense: Vectors, vectors: Sequence[Vectors]) -> list[float]:
    """What a hybrid first stage over these documents alone would score each of them."""
    names = [f"{place:06}" for place in range(len(documents))]
    cosines = {name: float(vector @ dense) for name, vector in zip(names, vectors, strict=True)}
    words = dict(zip(names, bm25(embed_sparse_query(query), [*map(embed_sparse_passage, documents)]), strict=True))
    fused = fuse([cosines, {name: score for name, score in words.items() if score > 0}], RetrievalSettings())
    return [fused[name] for name in names]


def bm25(query: SparseVector, documents: Sequence[SparseVector]) -> list[float]:
    """As the engines score it (Robertson & Zaragoza 2009), a term's rarity taken from these documents alone."""
    weights = [dict(zip(document.indices, document.values, strict=True)) for document in documents]
    having = Counter(term for document in weights for term in document)
    rarity = {term: math.log1p((len(weights) - having[term] + 0.5) / (having[term] + 0.5)) for term in query.indices}
    return [sum(rarity[term] * document.get(term, 0.0) for term in query.indices) for document in weights]


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

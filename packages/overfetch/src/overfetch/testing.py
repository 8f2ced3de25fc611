"""Fakes for tests of sites and services: no model, no server, no files, the same results every time."""

import contextlib
import operator
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from statistics import fmean, stdev

import numpy as np

from overfetch.engine import Engine
from overfetch.errors import CollectionMissing
from overfetch.filters import EARLIEST, AnyOf, Condition, DateRange, FullText, NumberRange, Schema, store_date
from overfetch.partitions import Partition, need_server
from overfetch.protocols import EncodedPassage, EncodedQuery, RerankScores, SparseVector, Vectors
from overfetch.provenance import WRITE_FIELDS, Provenance, require_match
from overfetch.settings import ModelSpec, RetrievalSettings
from overfetch.sites import Site
from overfetch.types import Candidate, Comparable, Passage

DIMENSION = 64
LATEST = datetime.max.replace(tzinfo=UTC)


def fake_spec(kind: str, name: str = "fake", revision: str = "0") -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": name,
            "kind": kind,
            "repo": name,
            "revision": revision,
            "licence": "none",
            "max_tokens": 512,
            "languages": ["en"],
            "dimension": DIMENSION if kind == "embedder" else None,
        }
    )


def words_of(text: str) -> list[str]:
    return "".join(c.lower() if c.isalnum() else " " for c in text).split()


class FakeEmbedder:
    """Hashed bags of words: texts that share words are near each other. Counts what it embeds."""

    def __init__(self, name: str = "fake-embedder", revision: str = "0") -> None:
        self.spec = fake_spec("embedder", name, revision)
        self.embedded_passages = 0

    def warm_up(self) -> None:
        """Nothing is slow the first time."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors = np.full((len(texts), DIMENSION), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words_of(text):
                vectors[row, zlib.crc32(word.encode()) % DIMENSION] += 1
        unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        self.embedded_passages += len(texts)
        return self.embed_queries(texts)

    def count_truncated(self, passages: Sequence[str]) -> int:
        return sum(max(0, len(words_of(passage)) - self.spec.max_tokens) for passage in passages)


class FakeReranker:
    """Scores by shared words. `failure` is raised instead; `seconds` is spent on each passage."""

    def __init__(self, failure: Exception | None = None, seconds: float = 0.0) -> None:
        self.spec = fake_spec("reranker", "fake-reranker")
        self.failure = failure
        self.seconds = seconds

    def warm_up(self) -> None:
        """Nothing is slow the first time."""

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        if self.failure is not None:
            raise self.failure
        logits: list[float] = []
        for passage in passages:
            if deadline is not None and time.monotonic() >= deadline:
                break
            time.sleep(self.seconds)
            shared = Counter(words_of(query)) & Counter(words_of(passage))
            logits.append(float(shared.total()) - len(words_of(passage)) / 1000)
        return RerankScores(logits, 0)


class FakeStore:
    """Collections in a dictionary, searched exactly, with the semantics of the real stores."""

    def __init__(self) -> None:
        self._collections: dict[str, tuple[Provenance, dict[str, EncodedPassage]]] = {}

    def provenance(self, collection: str) -> Provenance:
        return self._published(collection)[0]

    def hashes(self, collection: str) -> dict[str, str]:
        stored = self._collections.get(collection)
        return {i: p.passage.content_hash for i, p in stored[1].items()} if stored else {}

    def count(self, collection: str) -> int:
        return len(self._published(collection)[1])

    def search(
        self, collection: str, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        passages = [p for p in self._published(collection)[1].values() if _matches(p.passage, conditions)]
        dense = {p.passage.id: float(query.dense @ p.dense) for p in passages}
        sparse = {p.passage.id: _overlap(query.sparse, p.sparse) for p in passages}
        matching = {i: score for i, score in sparse.items() if score > 0}
        scores = {"dense": dense, "bm25": matching, "hybrid": _fuse(dense, matching, settings)}[settings.first_stage]
        found = [p for p in passages if p.passage.id in scores]
        best = sorted(found, key=lambda p: -scores[p.passage.id])[: settings.top_k]
        return [Candidate(passage=p.passage, score=scores[p.passage.id]) for p in best]

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False
    ) -> Iterator["FakeWriter"]:
        stored = self._collections.get(collection)
        keep = stored is not None and not rebuild
        if stored is not None and keep:
            require_match(collection, stored[0], provenance, WRITE_FIELDS)
        writer = FakeWriter(dict(stored[1]) if stored and keep else {})
        yield writer
        self._collections[collection] = (provenance, writer.passages)

    def only(self, partition: Partition) -> "FakeStore":
        raise need_server(partition)

    def close(self) -> None:
        self._collections.clear()

    def _published(self, collection: str) -> tuple[Provenance, dict[str, EncodedPassage]]:
        if collection not in self._collections:
            raise CollectionMissing(f"collection {collection!r} is not indexed yet: overfetch index {collection}")
        return self._collections[collection]


class FakeWriter:
    def __init__(self, passages: dict[str, EncodedPassage]) -> None:
        self.passages = passages

    def hashes(self) -> dict[str, str]:
        return {i: p.passage.content_hash for i, p in self.passages.items()}

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        return [self.passages[i] for i in passage_ids if i in self.passages]

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        self.passages |= {p.passage.id: p for p in passages}

    def delete(self, passage_ids: Sequence[str]) -> None:
        for passage_id in passage_ids:
            self.passages.pop(passage_id, None)


def open_fake(site: Site, *, reranker: FakeReranker | None = None) -> Engine:
    """The site over fakes, its sample corpora indexed."""
    engine = Engine(site, embedder=FakeEmbedder(), reranker=reranker or FakeReranker(), store=FakeStore())
    for collection in site.collections:
        engine.index(collection.name)
    return engine


def _fuse(dense: dict[str, float], sparse: dict[str, float], settings: RetrievalSettings) -> dict[str, float]:
    parts = [_by_rank(s, settings.rrf_k) if settings.fusion == "rrf" else _by_score(s) for s in (dense, sparse) if s]
    return {i: sum(part.get(i, 0.0) for part in parts) for i in {**dense, **sparse}}


def _by_rank(scores: dict[str, float], k: int) -> dict[str, float]:
    """Reciprocal Rank Fusion's share of one list."""
    return {i: 1 / (k + rank) for rank, i in enumerate(sorted(scores, key=lambda i: -scores[i]))}


def _by_score(scores: dict[str, float]) -> dict[str, float]:
    """Distribution-based fusion's share of one list: 0 to 1 over three sample deviations each side of the mean."""
    values = list(scores.values())
    reach = 3 * (stdev(values) if len(values) > 1 else 0.0)
    low = fmean(values) - reach
    return {i: (s - low) / (2 * reach) if reach else 0.5 for i, s in scores.items()}


def _overlap(query: SparseVector, passage: SparseVector) -> float:
    weights = dict(zip(passage.indices, passage.values, strict=True))
    return sum(weights.get(index, 0.0) for index in query.indices)


def _matches(passage: Passage, conditions: Sequence[Condition]) -> bool:
    return all(_holds(condition, passage.filters.get(condition.field, [])) for condition in conditions)


def _holds(condition: Condition, values: Comparable) -> bool:
    match condition:
        case AnyOf():
            return not set(condition.values).isdisjoint(values)
        case FullText():
            return set(condition.terms) <= set(values)
        case NumberRange():
            return any(_within(condition, float(value)) for value in values)
        case DateRange():
            start, end = store_date(condition.start or EARLIEST), store_date(condition.end or LATEST)
            return any(start <= str(value) <= end for value in values)


def _within(condition: NumberRange, number: float) -> bool:
    bounds: list[tuple[Callable[[float, float], bool], float | None]] = [
        (operator.ge, condition.at_least),
        (operator.le, condition.at_most),
        (operator.gt, condition.above),
        (operator.lt, condition.below),
    ]
    return all(bound is None or compare(number, bound) for compare, bound in bounds)

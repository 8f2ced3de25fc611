"""Fakes: no model, no server, no files, the same results every time."""

import contextlib
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Literal, NamedTuple, Self

import numpy as np

from overfetch.engine import Engine
from overfetch.errors import CollectionMissing, StoreError
from overfetch.filters import Condition, Schema
from overfetch.fusion import fuse
from overfetch.matching import matches
from overfetch.models import ModelSpec
from overfetch.partitions import Partition, need_server
from overfetch.protocols import (
    Copied,
    EncodedPassage,
    EncodedQuery,
    Found,
    Generation,
    RerankScores,
    SparseVector,
    ValueCount,
    Vectors,
    Verified,
)
from overfetch.provenance import WRITE_FIELDS, Provenance, Recall, require_match, require_searchable
from overfetch.settings import RetrievalSettings
from overfetch.sites import Site
from overfetch.types import Candidate, Passage

DIMENSION = 64
INDEXED: dict[int, tuple[Site, "FakeStore"]] = {}  # by the id of the site, which is kept so that no other gets it
STATES: tuple[Literal["live", "previous"], ...] = ("live", "previous")


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
    """Runs of letters and figures, in small letters."""
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

    def within(self, tokens: int, /) -> Self:
        """It says so; passages are read whole all the same."""
        other = copy(self)
        other.spec = self.spec.within(tokens)
        return other

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


class FakeGeneration(NamedTuple):
    """What was published at once."""

    number: int
    provenance: Provenance
    passages: dict[str, EncodedPassage]


class FakeStore:
    """Collections in a dictionary, searched exactly, with the semantics of the real stores."""

    def __init__(self, held: Mapping[str, Sequence[FakeGeneration]] | None = None) -> None:
        self._generations = {collection: [*kept] for collection, kept in (held or {}).items()}

    def copy(self) -> "FakeStore":
        return FakeStore(self._generations)

    def provenance(self, collection: str) -> Provenance:
        return self._live(collection).provenance

    def hashes(self, collection: str) -> dict[str, str]:
        return _hashes(self._generations[collection][0].passages) if collection in self._generations else {}

    def count(self, collection: str) -> int:
        return len(self._live(collection).passages)

    def search(
        self,
        collection: str,
        query: EncodedQuery,
        conditions: Sequence[Condition],
        settings: RetrievalSettings,
        *,
        expected: Provenance | None = None,
    ) -> Found:
        live = self._live(collection)
        if expected is not None:
            require_searchable(collection, live.provenance, expected, [c.field for c in conditions])
        return Found(_search(live.passages, query, conditions, settings), live.provenance)

    def find(self, collection: str, passage_ids: Sequence[str]) -> list[Passage]:
        stored = self._live(collection).passages
        return [_as_read(stored[i].passage) for i in passage_ids if i in stored]

    def read(self, collection: str, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        stored = self._live(collection).passages
        return [stored[i] for i in passage_ids if i in stored]

    def passages(self, collection: str) -> Iterator[Passage]:
        return iter([_as_read(stored.passage) for stored in self._live(collection).passages.values()])

    def values(self, collection: str, field: str, limit: int) -> list[ValueCount]:
        stored = self._live(collection).passages.values()
        counts = Counter(str(v) for s in stored for v in dict.fromkeys(s.passage.filters.get(field, ())))
        commonest = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:limit]
        return [ValueCount(value=value, passages=passages) for value, passages in commonest]

    def drop(self, collection: str) -> list[Generation]:
        dropped = self.generations(collection)
        self._generations.pop(collection, None)
        return dropped

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False, resume: bool = True
    ) -> Iterator["FakeWriter"]:
        live = next(iter(self._generations.get(collection, [])), None)
        if live is not None and not rebuild:
            require_match(collection, live.provenance, provenance, WRITE_FIELDS)
        writer = FakeWriter(dict(live.passages) if live and not rebuild else {})
        yield writer
        made = provenance.holding(writer.hashes(), writer.recall)
        number = max((g.number for g in self._generations.get(collection, [])), default=0) + 1
        self._generations[collection] = [FakeGeneration(number, made, writer.passages), *([live] if live else [])]

    def generations(self, collection: str) -> list[Generation]:
        kept = zip(self._generations.get(collection, []), STATES, strict=False)
        return [
            Generation(name=str(g.number), state=state, passages=len(g.passages), bytes=None, provenance=g.provenance)
            for g, state in kept
        ]

    def verify(self, collection: str) -> list[Verified]:
        return [Verified(name=g.name, problem=None, sealed=False) for g in self.generations(collection)]

    def rollback(self, collection: str) -> Generation:
        self._live(collection)
        if len(self._generations[collection]) < 2:
            raise StoreError(f"collection {collection!r} has no previous generation to go back to")
        self._generations[collection].reverse()
        return self.generations(collection)[0]

    def prune(self, collection: str, keep: int = 1) -> list[Generation]:
        removed = self.generations(collection)[keep:]
        del self._generations.get(collection, [])[keep:]
        return removed

    def only(self, partition: Partition) -> "FakeStore":
        raise need_server(partition)

    def close(self) -> None:
        self._generations.clear()

    def _live(self, collection: str) -> FakeGeneration:
        if collection not in self._generations:
            raise CollectionMissing(f"collection {collection!r} is not indexed yet: overfetch index {collection}")
        return self._generations[collection][0]


class FakeWriter:
    """A copy of the live passages, changed out of sight."""

    copied: Copied | None = None
    in_place = False

    def __init__(self, passages: dict[str, EncodedPassage]) -> None:
        self.passages = passages
        self.recall: Recall | None = None

    def hashes(self) -> dict[str, str]:
        return _hashes(self.passages)

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        return [self.passages[i] for i in passage_ids if i in self.passages]

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        self.passages |= {p.passage.id: p for p in passages}

    def delete(self, passage_ids: Sequence[str]) -> None:
        for passage_id in passage_ids:
            self.passages.pop(passage_id, None)

    def search(
        self, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        return _search(self.passages, query, conditions, settings)


def _as_read(passage: Passage) -> Passage:
    return passage.model_copy(update={"filters": {}})


def open_fake(site: Site, *, reranker: FakeReranker | None = None) -> Engine:
    """The site over fakes, its sample corpora indexed: once a process, for tests open a site many times."""
    store = INDEXED[id(site)][1].copy() if id(site) in INDEXED else FakeStore()
    engine = Engine(site, embedder=FakeEmbedder(), reranker=reranker or FakeReranker(), store=store)
    if id(site) not in INDEXED:
        for collection in site.collections:
            engine.index(collection.name)
        INDEXED[id(site)] = site, store.copy()
    return engine


def _hashes(passages: Mapping[str, EncodedPassage]) -> dict[str, str]:
    return {i: p.passage.content_hash for i, p in passages.items()}


def _search(
    stored: Mapping[str, EncodedPassage],
    query: EncodedQuery,
    conditions: Sequence[Condition],
    settings: RetrievalSettings,
) -> list[Candidate]:
    passages = [p for p in stored.values() if matches(p.passage, conditions)]
    dense = {p.passage.id: float(query.dense @ p.dense) for p in passages}
    sparse = {p.passage.id: _overlap(query.sparse, p.sparse) for p in passages}
    matching = {i: score for i, score in sparse.items() if score > 0}
    scores = {"dense": dense, "bm25": matching, "hybrid": fuse([dense, matching], settings)}[settings.first_stage]
    found = [p for p in passages if p.passage.id in scores]
    best = sorted(found, key=lambda p: (-scores[p.passage.id], p.passage.id))[: settings.top_k]
    return [Candidate(passage=p.passage, score=scores[p.passage.id]) for p in best]


def _overlap(query: SparseVector, passage: SparseVector) -> float:
    weights = dict(zip(passage.indices, passage.values, strict=True))
    return sum(weights.get(index, 0.0) for index in query.indices)

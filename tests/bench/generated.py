"""Passages by the million for measuring a store: vectors spread like real embeddings, texts of real sentences.

A vector is a real embedding moved along the difference of two others, by 0.2 to 0.5 of it: the cloud keeps the
clusters and directions of the real one. A text is three to six real sentences. Queries are the first words of
passages that were left out.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from overfetch.backends import load_embedder
from overfetch.environment import read_environment
from overfetch.filters import Schema, comparable
from overfetch.models import find_profile
from overfetch.protocols import EncodedPassage, EncodedQuery, Vectors
from overfetch.provenance import Provenance
from overfetch.sparse import embed_sparse_passage, embed_sparse_query
from overfetch.types import Chunk, Document, Passage

CORPORA = Path(__file__).parents[3] / "shared/data/corpora"
SEED, BLOCK, QUERIES, QUERY_WORDS, LONGEST = 7, 10_000, 300, 12, 1200
REAL = 8_000
SCHEMA: Schema = {"sector": "keyword", "country": "keyword", "tenth": "keyword", "hundredth": "keyword"}


class Source(NamedTuple):
    """Real embeddings, sentences and records that passages are made from, and the queries."""

    embeddings: Vectors
    sentences: list[str]
    records: list[dict[str, str]]
    queries: list[EncodedQuery]


def read_lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def read_source(folder: Path) -> Source:
    """Embeds REAL + QUERIES real texts with the mini profile's bi-encoder once, and keeps that in `folder`."""
    rng = np.random.default_rng(SEED)
    records = read_lines(CORPORA / "tickers/companies.jsonl")
    texts = [r["summary"] for r in records] + [r["text"] for r in read_lines(CORPORA / "devtools-docs/sections.jsonl")]
    drawn = [texts[i][:LONGEST] for i in rng.choice(len(texts), REAL + QUERIES, replace=False)]
    questions = [" ".join(text.split()[:QUERY_WORDS]) for text in drawn[REAL:]]
    kept = folder / "embeddings.npz"
    if not kept.exists():
        embedder = load_embedder(find_profile("mini").embedder, read_environment())
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(kept, passages=embedder.embed_passages(drawn[:REAL]), queries=embedder.embed_queries(questions))
    with np.load(kept) as vectors:
        queries = [
            EncodedQuery(dense, embed_sparse_query(text))
            for dense, text in zip(vectors["queries"], questions, strict=True)
        ]
        sentences = [s for text in texts for s in re.split(r"(?<=[.!?])\s+", text) if 20 < len(s) < 400]
        return Source(vectors["passages"], sentences, records, queries)


def vectors_of(source: Source, block: int, count: int) -> Vectors:
    """float32 [count, dimension], unit length; the same for the same block."""
    rng = np.random.default_rng((SEED, block))
    start, to, away = rng.integers(0, len(source.embeddings), (3, BLOCK))
    share = rng.uniform(0.2, 0.5, (BLOCK, 1)).astype(np.float32)
    real = source.embeddings
    moved: Vectors = real[start] + share * (real[to] - real[away])
    unit: Vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit[:count]


def passages_of(source: Source, block: int, count: int) -> list[EncodedPassage]:
    """The passages of a block, with both vectors; the same for the same block."""
    rng = np.random.default_rng((SEED, block, 1))
    vectors = vectors_of(source, block, count)
    found = []
    for offset in range(count):
        number = block * BLOCK + offset
        text = " ".join(source.sentences[i] for i in rng.integers(0, len(source.sentences), rng.integers(3, 7)))
        record = source.records[number % len(source.records)]
        facts = {name: record[name] for name in ("symbol", "sector", "industry", "country") if record[name]}
        shares = {"tenth": str(number % 10), "hundredth": str(number % 100)}
        document = Document(id=str(number), title=record["title"], text=text, metadata={**facts, **shares})
        passage = Passage.of(document, 0, Chunk(breadcrumb=record["title"], text=text))
        passage = passage.model_copy(update={"filters": comparable(passage.metadata, SCHEMA)})
        found.append(EncodedPassage(passage, vectors[offset], embed_sparse_passage(passage.reading)))
    return found


def blocks(size: int) -> Iterator[tuple[int, int]]:
    """(block, passages in it) of the first `size` passages."""
    return ((start // BLOCK, min(BLOCK, size - start)) for start in range(0, size, BLOCK))


def provenance() -> Provenance:
    return Provenance.of(find_profile("mini").embedder, "generated/1", "generated")


def nearest(source: Source, size: int, limit: int, every: int = 1) -> list[set[str]]:
    """By exact products, the document ids nearest to each query among those whose number is 0 modulo `every`."""
    queries = np.stack([query.dense for query in source.queries])
    scores = np.empty((len(queries), 0), dtype=np.float32)
    numbers = np.empty((len(queries), 0), dtype=np.int64)
    for block, count in blocks(size):
        own = np.arange(0, count, every)
        scores = np.concatenate([scores, queries @ vectors_of(source, block, count)[own].T], axis=1)
        numbers = np.concatenate([numbers, np.tile(block * BLOCK + own, (len(queries), 1))], axis=1)
        best = np.argsort(-scores, axis=1)[:, :limit]
        scores, numbers = np.take_along_axis(scores, best, 1), np.take_along_axis(numbers, best, 1)
    return [{str(number) for number in row} for row in numbers]

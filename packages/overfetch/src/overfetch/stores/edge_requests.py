"""Overfetch's terms as Qdrant Edge requests."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    Fusion,
    HnswIndexConfig,
    IdfParams,
    MatchAny,
    MatchValue,
    Memory,
    Modifier,
    PayloadSchemaType,
    Point,
    Prefetch,
    QuantizationSearchParams,
    Query,
    QueryRequest,
    RangeDateTime,
    RangeFloat,
    ScalarQuantizationConfig,
    ScalarType,
    SearchParams,
    SparseVector,
    UpdateOperation,
)

from overfetch.filters import EARLIEST, AnyOf, Condition, DateRange, FieldKind, KnownBy, NumberRange, Schema, store_date
from overfetch.protocols import EncodedPassage, EncodedQuery
from overfetch.protocols import SparseVector as Terms
from overfetch.settings import RetrievalSettings
from overfetch.stores.payloads import DENSE, SPARSE, field_key, to_payload

INDEX_TYPES: dict[FieldKind, PayloadSchemaType] = {
    "keyword": PayloadSchemaType.Keyword,
    "number": PayloadSchemaType.Float,
    "date": PayloadSchemaType.Datetime,
    "text": PayloadSchemaType.Keyword,  # the words, one by one
}


# Measured by tests/bench/scale.py. One byte a dimension finds candidates, exact vectors order them: the graph is built
# and walked in a third of the time, and twice the candidates make up for the rounding. Walked no further than the
# engine does of itself, a million passages lose 4% of the nearest 20, a hundred thousand .4%.
GRAPH = HnswIndexConfig(m=16, ef_construct=200, full_scan_threshold=10_000)
ROUNDED = ScalarQuantizationConfig(ScalarType.Int8, quantile=0.99)
EXACT_ORDER = QuantizationSearchParams(rescore=True, oversampling=2.0)
LARGE, FURTHER = 100_000, 512
# One graph over everything: two of half the size take nearly twice the work to search.
ONE_SEGMENT = EdgeOptimizersConfig(default_segment_number=1, max_segment_size=1 << 30)


def shard_config(dimension: int, memory: Memory = Memory.Cold) -> EdgeConfig:
    """Without a WAL, so that several processes may open a published shard at once.

    `memory` is where vectors lie that get a search index from now on: one that is walked wants them cached when it is
    opened. Those without one are read as they are needed: the engine keeps them in files of 32 MB at least.
    """
    return EdgeConfig(
        hnsw_config=GRAPH,
        quantization_config=ROUNDED,
        optimizers=ONE_SEGMENT,
        vectors={DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine, memory=memory)},
        sparse_vectors={SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        wal_enabled=False,
    )


def keep_cached(shard: Path, dimension: int) -> None:
    """Vectors that get a search index are in memory when they are searched; of a shard that nobody has open."""
    now = json.loads((shard / "edge_config.json").read_text(encoding="utf-8"))["vectors"][DENSE].get("memory")
    if now == "cold":
        EdgeShard.load(str(shard), shard_config(dimension, Memory.Cached)).close()


def payload_indexes(schema: Schema) -> Iterator[UpdateOperation]:
    return (UpdateOperation.create_field_index(field_key(f), INDEX_TYPES[kind]) for f, kind in schema.items())


def upsert(passages: Sequence[EncodedPassage]) -> UpdateOperation:
    return UpdateOperation.upsert_points(
        [
            Point(p.passage.id, {DENSE: p.dense.tolist(), SPARSE: _terms(p.sparse)}, to_payload(p.passage))
            for p in passages
        ]
    )


def delete(passage_ids: Sequence[str]) -> UpdateOperation:
    return UpdateOperation.delete_points(list(passage_ids))


def search(
    query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings, passages: int
) -> QueryRequest:
    """Dense and BM25 lists fused inside the engine, or one of them alone; `passages`: how many there are."""
    only, known = _all_of(conditions), _all_of([c for c in conditions if isinstance(c, KnownBy)])
    # Whatever a graph, a rounding or a count saw of what is hidden would show in the order.
    exact = known is not None and passages <= LARGE
    walk = SearchParams(hnsw_ef=FURTHER if passages > LARGE else None, quantization=EXACT_ORDER, exact=exact)
    count = SearchParams(idf=IdfParams(known)) if known else None
    dense = Query.Nearest(query.dense.tolist(), using=DENSE)
    sparse = Query.Nearest(_terms(query.sparse), using=SPARSE)
    if settings.first_stage != "hybrid":
        alone, params = (dense, walk) if settings.first_stage == "dense" else (sparse, count)
        return QueryRequest(limit=settings.top_k, query=alone, filter=only, params=params, with_payload=True)
    depth = settings.top_k * settings.prefetch
    lists = [Prefetch(limit=depth, query=dense, filter=only, params=walk)]
    if query.sparse.indices:
        lists.append(Prefetch(limit=depth, query=sparse, filter=only, params=count))
    # Fusions, though the stubs do not say so.
    rrf = Fusion.Rrf(k=settings.rrf_k, weights=[1.0, settings.bm25_weight][: len(lists)])
    fusion: Any = rrf if settings.fusion == "rrf" else Fusion.Dbsf()
    return QueryRequest(limit=settings.top_k, prefetches=lists, query=fusion, with_payload=True)


def _all_of(conditions: Sequence[Condition]) -> Filter | None:
    return Filter(must=[part for c in conditions for part in _parts(c)]) if conditions else None


def _terms(terms: Terms) -> SparseVector:
    return SparseVector(terms.indices, terms.values)


def _parts(condition: Condition) -> list[FieldCondition]:
    """All of them must hold."""
    key = field_key(condition.field)
    if isinstance(condition, AnyOf):
        return [FieldCondition(key=key, match=MatchAny(list(condition.values)))]
    if isinstance(condition, NumberRange):
        bounds = RangeFloat(gt=condition.above, gte=condition.at_least, lt=condition.below, lte=condition.at_most)
        return [FieldCondition(key=key, range=bounds)]
    if isinstance(condition, DateRange):
        end = store_date(condition.end) if condition.end else None
        return [FieldCondition(key=key, range=RangeDateTime(gte=store_date(condition.start or EARLIEST), lte=end))]
    return [FieldCondition(key=key, match=MatchValue(word)) for word in condition.terms]

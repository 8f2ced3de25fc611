"""Overfetch's terms as requests of qdrant-client."""

from collections.abc import Iterator, Sequence
from typing import Any

from qdrant_client import models

from overfetch.environment import ServerSettings
from overfetch.filters import EARLIEST, AnyOf, Condition, DateRange, FieldKind, KnownBy, NumberRange, Schema
from overfetch.partitions import Partition
from overfetch.protocols import EncodedPassage, EncodedQuery
from overfetch.protocols import SparseVector as Terms
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.stores.payloads import BUCKET, DENSE, OWN, SPARSE, field_key, to_payload

PROVENANCE = "overfetch"
SHOWN = models.PayloadSelectorExclude(exclude=list(OWN))

INDEX_TYPES: dict[FieldKind, models.PayloadSchemaType] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "date": models.PayloadSchemaType.DATETIME,
    "text": models.PayloadSchemaType.KEYWORD,  # the words, one by one
}


def collection(provenance: Provenance, settings: ServerSettings) -> dict[str, Any]:
    """How a new collection is laid out. Flags that newer servers call deprecated are those that all servers read."""
    dense = models.VectorParams(
        size=provenance.dimension, distance=models.Distance.COSINE, on_disk=settings.on_disk_vectors
    )
    return {
        "vectors_config": {DENSE: dense},
        "sparse_vectors_config": {SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        "shard_number": settings.shards,
        "replication_factor": settings.replicas,
        "write_consistency_factor": settings.write_consistency,
        "on_disk_payload": settings.on_disk_payload,
        "quantization_config": _quantization(settings),
        "metadata": metadata(provenance),
    }


def _quantization(settings: ServerSettings) -> models.QuantizationConfig | None:
    """In memory always: the originals, which may lie on the disk, are read for rescoring only."""
    if settings.quantisation == "int8":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if settings.quantisation == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def metadata(provenance: Provenance) -> dict[str, Any]:
    return {PROVENANCE: provenance.model_dump()}


def payload_indexes(schema: Schema) -> Iterator[dict[str, Any]]:
    """What filters and partitions look for."""
    yield from ({"field_name": field_key(f), "field_schema": INDEX_TYPES[kind]} for f, kind in schema.items())
    yield {"field_name": BUCKET, "field_schema": models.PayloadSchemaType.INTEGER}


def within(partition: Partition | None) -> models.Filter | None:
    """The passages of a partition's documents; None for all."""
    if partition is None:
        return None
    buckets = models.Range(gte=partition.buckets.start, lt=partition.buckets.stop)
    return models.Filter(must=[models.FieldCondition(key=BUCKET, range=buckets)])


def points(passages: Sequence[EncodedPassage]) -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=p.passage.id, vector={DENSE: p.dense.tolist(), SPARSE: _terms(p.sparse)}, payload=to_payload(p.passage)
        )
        for p in passages
    ]


def move_alias(alias: str, old: str | None, new: str | None) -> list[models.AliasOperations]:
    """To be sent in one request, so that a search sees the old or the new collection."""
    moves: list[models.AliasOperations] = []
    if old is not None:
        moves.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
    if new is not None:
        create = models.CreateAlias(collection_name=new, alias_name=alias)
        moves.append(models.CreateAliasOperation(create_alias=create))
    return moves


def search(
    query: EncodedQuery,
    conditions: Sequence[Condition],
    settings: RetrievalSettings,
    server: ServerSettings,
    *,
    exact: bool,
) -> dict[str, Any]:
    """Dense and BM25 lists fused inside the engine, or one of them alone.

    Under `KnownBy` BM25 counts what was known, and where `exact` every vector of it is compared.
    """
    return {"limit": settings.top_k, "with_payload": SHOWN, **_query(query, conditions, settings, server, exact)}


def _query(
    query: EncodedQuery,
    conditions: Sequence[Condition],
    settings: RetrievalSettings,
    server: ServerSettings,
    exact: bool,
) -> dict[str, Any]:
    only, known = _all_of(conditions), _all_of([c for c in conditions if isinstance(c, KnownBy)])
    dense = query.dense.tolist()
    terms, params = _terms(query.sparse), _search_params(server, exact=exact and known is not None)
    count = models.SearchParams(idf=models.IdfCorpusParams(corpus=known)) if known else None
    if settings.first_stage == "dense":
        return {"query": dense, "using": DENSE, "query_filter": only, "search_params": params}
    if settings.first_stage == "bm25":
        return {"query": terms, "using": SPARSE, "query_filter": only, "search_params": count}
    depth = settings.top_k * settings.prefetch
    lists = [models.Prefetch(query=dense, using=DENSE, limit=depth, filter=only, params=params)]
    if query.sparse.indices:
        lists.append(models.Prefetch(query=terms, using=SPARSE, limit=depth, filter=only, params=count))
    weights = [1.0, settings.bm25_weight][: len(lists)] if settings.bm25_weight != 1 else None  # of Qdrant 1.17
    rrf = models.RrfQuery(rrf=models.Rrf(k=settings.rrf_k, weights=weights))
    dbsf = models.FusionQuery(fusion=models.Fusion.DBSF)
    return {"prefetch": lists, "query": rrf if settings.fusion == "rrf" else dbsf}


def _all_of(conditions: Sequence[Condition]) -> models.Filter | None:
    return models.Filter(must=[part for c in conditions for part in _parts(c)]) if conditions else None


def _search_params(server: ServerSettings, *, exact: bool) -> models.SearchParams | None:
    """More candidates from the quantised vectors, put in order by the original ones; or these alone, all of them."""
    if exact:
        return models.SearchParams(exact=True)
    if server.quantisation is None:
        return None
    quantized = models.QuantizationSearchParams(rescore=True, oversampling=server.oversampling)
    return models.SearchParams(quantization=quantized)


def _terms(terms: Terms) -> models.SparseVector:
    return models.SparseVector(indices=terms.indices, values=terms.values)


def _parts(condition: Condition) -> list[models.Condition]:
    """All of them must hold."""
    key = field_key(condition.field)
    if isinstance(condition, AnyOf):
        return [models.FieldCondition(key=key, match=models.MatchAny(any=list(condition.values)))]
    if isinstance(condition, NumberRange):
        bounds = models.Range(gt=condition.above, gte=condition.at_least, lt=condition.below, lte=condition.at_most)
        return [models.FieldCondition(key=key, range=bounds)]
    if isinstance(condition, DateRange):
        # Always with a bound: without any, a range of dates is read as one of numbers.
        dates = models.DatetimeRange(gte=condition.start or EARLIEST, lte=condition.end)
        return [models.FieldCondition(key=key, range=dates)]
    return [models.FieldCondition(key=key, match=models.MatchValue(value=word)) for word in condition.terms]

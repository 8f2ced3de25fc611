"""Qdrant behind qdrant-client: a server or cluster, or `:memory:` for tests of this adapter.

A collection's name is an alias; each rebuild fills a new collection beside the old one and moves the alias.
Compatible changes are upserted in place. Provenance is the collection's own metadata.
"""

import contextlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import grpc
import httpx
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from overfetch.errors import CollectionMissing, SettingsError, StoreError, StoreUnavailable
from overfetch.filters import EARLIEST, AnyOf, Condition, DateRange, FieldKind, NumberRange, Schema
from overfetch.protocols import EncodedPassage, EncodedQuery
from overfetch.provenance import WRITE_FIELDS, Provenance, require_match
from overfetch.settings import RetrievalSettings
from overfetch.stores.payloads import CONTENT_HASH, DENSE, SPARSE, field_key, from_payload, slug, to_payload
from overfetch.types import Candidate

log = logging.getLogger(__name__)

MEMORY = ":memory:"
PROVENANCE = "overfetch"
UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
SCROLL_PAGE = 1024

INDEX_TYPES: dict[FieldKind, models.PayloadSchemaType] = {
    "keyword": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "date": models.PayloadSchemaType.DATETIME,
    "text": models.PayloadSchemaType.KEYWORD,  # the words, one by one
}


def connect(address: str, api_key: str | None) -> "ServerStore":
    """A client for `:memory:`, `http(s)://HOST:PORT` or `grpc://HOST:PORT`; it connects on first use."""
    if address == MEMORY:
        return ServerStore(QdrantClient(MEMORY), address)
    try:
        return ServerStore(_remote_client(address, api_key), address)
    except ValueError as error:
        raise SettingsError(f"bad address {address!r} of a Qdrant server ({error}); write http://HOST:PORT") from error


def _remote_client(address: str, api_key: str | None) -> QdrantClient:
    if address.startswith("grpc://"):
        host, _, port = address.removeprefix("grpc://").rstrip("/").partition(":")
        grpc_port = int(port or 6334)
        # The compatibility check is a request of its own, over HTTP, in a thread that only warns.
        return QdrantClient(
            host=host, grpc_port=grpc_port, prefer_grpc=True, api_key=api_key, check_compatibility=False
        )
    if api_key is not None and address.startswith("http://"):
        log.warning("the API key travels unencrypted to %s; https:// protects it", address)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # said above, as a log record
        return QdrantClient(address, api_key=api_key, check_compatibility=False)


class ServerStore:
    """Collections of one Qdrant server."""

    def __init__(self, client: QdrantClient, address: str) -> None:
        self.client = client
        self.address = address

    def provenance(self, collection: str) -> Provenance:
        with self._translated(collection):
            metadata = self.client.get_collection(self._published(collection)).config.metadata or {}
        if PROVENANCE not in metadata:
            raise self._foreign(collection)
        return Provenance.model_validate(metadata[PROVENANCE])

    def hashes(self, collection: str) -> dict[str, str]:
        with self._translated(collection):
            try:
                return _read_hashes(self.client, self._published(collection))
            except CollectionMissing:
                return {}

    def count(self, collection: str) -> int:
        with self._translated(collection):
            return int(self.client.count(self._published(collection), exact=True).count)

    def search(
        self, collection: str, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        with self._translated(collection):
            request = _search_request(query, conditions, settings)
            found = self.client.query_points(self._published(collection), with_payload=True, **request).points
        return [Candidate(passage=from_payload(str(p.id), p.payload or {}), score=p.score) for p in found]

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False
    ) -> Iterator["ServerWriter"]:
        with self._translated(collection):
            published = self._find_published(collection)
        if published is not None:
            stored = self.provenance(collection)  # what Overfetch did not make is not Overfetch's to replace
            if not rebuild:
                require_match(collection, stored, provenance, WRITE_FIELDS)
        if published is None or rebuild:
            with self._building(collection, published, provenance, schema) as name:
                yield self._writer(collection, name)
            return
        yield self._writer(collection, published)
        with self._translated(collection):
            self.client.update_collection(published, metadata=_metadata(provenance))

    @contextlib.contextmanager
    def _building(
        self, collection: str, published: str | None, provenance: Provenance, schema: Schema
    ) -> Iterator[str]:
        """A new collection that takes over the alias on a clean exit, and is removed otherwise."""
        with self._translated(collection):
            name = _next_name(self.client, collection)
            _create(self.client, name, provenance)
        try:
            with self._translated(collection):
                _index_payload(self.client, name, {} if self.address == MEMORY else schema)
            yield name
            with self._translated(collection):
                _move_alias(self.client, slug(collection), published, name)
        except BaseException:
            with contextlib.suppress(StoreError), self._translated(collection):
                self.client.delete_collection(name)
            raise
        if published is not None:
            with self._translated(collection):
                self.client.delete_collection(published)

    def _writer(self, collection: str, name: str) -> "ServerWriter":
        return ServerWriter(self.client, name, lambda: self._translated(collection))

    def close(self) -> None:
        self.client.close()

    def _published(self, collection: str) -> str:
        published = self._find_published(collection)
        if published is None:
            raise CollectionMissing(f"collection {collection!r} is not indexed yet: overfetch index {collection}")
        return published

    def _find_published(self, collection: str) -> str | None:
        aliases = self.client.get_aliases().aliases
        published = next((a.collection_name for a in aliases if a.alias_name == slug(collection)), None)
        if published is None and self.client.collection_exists(slug(collection)):
            raise self._foreign(collection)
        return published

    def _foreign(self, collection: str) -> StoreError:
        return StoreError(f"{self.address}: collection {slug(collection)!r} was not made by Overfetch")

    @contextlib.contextmanager
    def _translated(self, collection: str) -> Iterator[None]:
        try:
            yield
        except (ResponseHandlingException, httpx.TransportError, ConnectionError) as error:
            raise self._unavailable(str(error)) from error
        except (json.JSONDecodeError, AssertionError) as error:  # the client asserts that there is a result
            raise self._unavailable(f"what answers is no Qdrant ({error})") from error
        except UnexpectedResponse as error:
            raise self._refused(collection, str(error)) from error
        except grpc.RpcError as error:
            if error.code() in UNREACHABLE:
                raise self._unavailable(error.details()) from error
            raise self._refused(collection, error.details()) from error

    def _unavailable(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(f"Qdrant at {self.address} does not answer: {_one_line(reason)}")

    def _refused(self, collection: str, reason: str) -> StoreError:
        return StoreError(f"Qdrant at {self.address} refused work on {collection!r}: {_one_line(reason)}")


class ServerWriter:
    """Upserts into one server collection; every call is idempotent."""

    def __init__(self, client: QdrantClient, name: str, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self.client = client
        self.name = name
        self._translated = translated

    def hashes(self) -> dict[str, str]:
        with self._translated():
            return _read_hashes(self.client, self.name)

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        if passages:
            with self._translated():
                self.client.upsert(self.name, [_point(p) for p in passages], wait=True)

    def delete(self, passage_ids: Sequence[str]) -> None:
        if passage_ids:
            with self._translated():
                self.client.delete(self.name, models.PointIdsList(points=list(passage_ids)), wait=True)


def _point(encoded: EncodedPassage) -> models.PointStruct:
    terms = models.SparseVector(indices=encoded.sparse.indices, values=encoded.sparse.values)
    vectors: dict[str, Any] = {DENSE: encoded.dense.tolist(), SPARSE: terms}
    return models.PointStruct(id=encoded.passage.id, vector=vectors, payload=to_payload(encoded.passage))


def _read_hashes(client: QdrantClient, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    offset: Any = None
    while True:
        records, offset = client.scroll(name, limit=SCROLL_PAGE, offset=offset, with_payload=[CONTENT_HASH])
        found |= {str(record.id): (record.payload or {})[CONTENT_HASH] for record in records}
        if offset is None:
            return found


def _next_name(client: QdrantClient, collection: str) -> str:
    """`SLUG--NUMBER`, one above the highest number in use."""
    prefix = f"{slug(collection)}--"
    names = [c.name for c in client.get_collections().collections]
    numbers = [int(n.removeprefix(prefix)) for n in names if n.startswith(prefix) and n.removeprefix(prefix).isdigit()]
    return f"{prefix}{max(numbers, default=0) + 1:06d}"


def _create(client: QdrantClient, name: str, provenance: Provenance) -> None:
    client.create_collection(
        name,
        vectors_config={DENSE: models.VectorParams(size=provenance.dimension, distance=models.Distance.COSINE)},
        sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        metadata=_metadata(provenance),
    )


def _index_payload(client: QdrantClient, name: str, schema: Schema) -> None:
    for field, kind in schema.items():
        client.create_payload_index(name, field_key(field), INDEX_TYPES[kind])


def _metadata(provenance: Provenance) -> dict[str, Any]:
    return {PROVENANCE: provenance.model_dump()}


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _move_alias(client: QdrantClient, alias: str, old: str | None, new: str) -> None:
    """One request, so that a search sees the old or the new collection."""
    actions: list[models.AliasOperations] = []
    if old is not None:
        actions.append(models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
    create = models.CreateAlias(collection_name=new, alias_name=alias)
    actions.append(models.CreateAliasOperation(create_alias=create))
    client.update_collection_aliases(actions)


def _search_request(
    query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
) -> dict[str, Any]:
    """Dense and BM25 lists fused inside the engine, or one of them alone."""
    only = models.Filter(must=[part for c in conditions for part in _parts(c)]) if conditions else None
    dense = query.dense.tolist()
    terms = models.SparseVector(indices=query.sparse.indices, values=query.sparse.values)
    if settings.first_stage != "hybrid":
        using, vector = (DENSE, dense) if settings.first_stage == "dense" else (SPARSE, terms)
        return {"query": vector, "using": using, "query_filter": only, "limit": settings.top_k}
    depth = settings.top_k * settings.prefetch
    lists = [models.Prefetch(query=dense, using=DENSE, limit=depth, filter=only)]
    if query.sparse.indices:
        lists.append(models.Prefetch(query=terms, using=SPARSE, limit=depth, filter=only))
    rrf = models.RrfQuery(rrf=models.Rrf(k=settings.rrf_k))
    dbsf = models.FusionQuery(fusion=models.Fusion.DBSF)
    return {"prefetch": lists, "query": rrf if settings.fusion == "rrf" else dbsf, "limit": settings.top_k}


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

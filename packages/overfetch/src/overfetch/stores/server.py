"""Qdrant behind qdrant-client: a server or cluster, or `:memory:` for tests of this adapter.

A collection's name is an alias; each rebuild fills a new collection beside the old one and moves the alias.
Compatible changes are upserted in place. Provenance is the collection's own metadata.
"""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from qdrant_client import models

from overfetch.errors import CollectionMissing, StoreError, StoreUnavailable
from overfetch.filters import Condition, Schema
from overfetch.partitions import Partition
from overfetch.protocols import EncodedPassage, EncodedQuery
from overfetch.provenance import WRITE_FIELDS, Provenance, require_match
from overfetch.settings import RetrievalSettings, ServerSettings
from overfetch.stores import server_requests as requests
from overfetch.stores.payloads import CONTENT_HASH, from_payload, from_record, slug
from overfetch.stores.server_connection import MEMORY, Connection
from overfetch.types import Candidate

SCROLL_PAGE = 1024
# A change of the cluster's layout waits for its nodes to agree.
LAYOUT_TIMEOUT_S = 60
INDEX_POLL_S = 0.5

Read = TypeVar("Read")


class ServerStore:
    """Collections of one Qdrant server. Safe to share between threads, but for `:memory:`."""

    partition: Partition | None = None

    def __init__(self, address: str, settings: ServerSettings) -> None:
        """`:memory:`, `http(s)://HOST:PORT` or `grpc(s)://HOST:PORT`. Raises SettingsError."""
        self.settings = settings
        self.connection = Connection(address, settings)
        self.client = self.connection.client
        self._call, self._call_once = self.connection.call, self.connection.call_once

    def provenance(self, collection: str) -> Provenance:
        info = self._read(collection, lambda name: self._call(collection, self.client.get_collection, name))
        metadata = info.config.metadata or {}
        if requests.PROVENANCE not in metadata:
            raise self._foreign(collection)
        return Provenance.model_validate(metadata[requests.PROVENANCE])

    def hashes(self, collection: str) -> dict[str, str]:
        try:
            return self._read(collection, lambda name: self._read_hashes(collection, name))
        except CollectionMissing:
            return {}

    def count(self, collection: str) -> int:
        counted = self._read(collection, lambda name: self._call(collection, self.client.count, name, exact=True))
        return int(counted.count)

    def search(
        self, collection: str, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        request = requests.search(query, conditions, settings, self.settings)
        found = self._read(
            collection,
            lambda name: self._call(collection, self.client.query_points, name, **request),
        )
        return [Candidate(passage=from_payload(str(p.id), p.payload or {}), score=p.score) for p in found.points]

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False
    ) -> Iterator["ServerWriter"]:
        published = self._find_published(collection)
        if published is None and self.partition is not None:
            published = self._publish_empty(collection, provenance, schema)
        if published is not None:
            stored = self.provenance(collection)  # what Overfetch did not make is not Overfetch's to replace
            if not rebuild:
                require_match(collection, stored, provenance, WRITE_FIELDS)
        if published is None or rebuild:
            with self._building(collection, published, provenance, schema) as name:
                yield ServerWriter(self, collection, name)
            return
        self._index_payload(collection, published, schema)
        yield ServerWriter(self, collection, published)
        self._call(collection, self.client.update_collection, published, metadata=requests.metadata(provenance))

    @contextlib.contextmanager
    def _building(
        self, collection: str, published: str | None, provenance: Provenance, schema: Schema
    ) -> Iterator[str]:
        """A new collection that takes over the alias on a clean exit, and is removed otherwise."""
        name = self._next_name(collection)
        layout = requests.collection(provenance, self.settings)
        # Not twice: whoever finds the name taken learns so that another process writes this collection too.
        self._call_once(collection, self.client.create_collection, name, timeout=LAYOUT_TIMEOUT_S, **layout)
        try:
            self._index_payload(collection, name, schema)
            yield name
            self._await_indexes(collection, name)
            moves = requests.move_alias(slug(collection), published, name)
            self._call(collection, self.client.update_collection_aliases, moves, timeout=LAYOUT_TIMEOUT_S)
        except BaseException:
            with contextlib.suppress(StoreError):
                self._drop(collection, name)
            raise
        if published is not None:
            self._drop(collection, published)

    def _publish_empty(self, collection: str, provenance: Provenance, schema: Schema) -> str:
        """What the writers of all partitions fill; whoever comes first makes it, and every step may be repeated."""
        name = f"{slug(collection)}--{1:06d}"
        layout = requests.collection(provenance, self.settings)
        try:
            self._call_once(collection, self.client.create_collection, name, timeout=LAYOUT_TIMEOUT_S, **layout)
        except (StoreError, ValueError):  # in memory it is a ValueError that says so
            if not self._call(collection, self.client.collection_exists, name):
                raise
        self._index_payload(collection, name, schema)
        move = requests.move_alias(slug(collection), None, name)
        self._call(collection, self.client.update_collection_aliases, move, timeout=LAYOUT_TIMEOUT_S)
        return name

    def only(self, partition: Partition) -> "ServerStore":
        view = copy.copy(self)
        view.partition = partition
        return view

    def close(self) -> None:
        self.connection.close()

    def _read(self, collection: str, read: Callable[[str], Read]) -> Read:
        """Reads the published collection; again if a writer replaced and removed it meanwhile."""
        while True:
            name = self._published(collection)
            try:
                return read(name)
            except StoreUnavailable:
                raise
            except StoreError:
                if self._find_published(collection) == name:
                    raise

    def _published(self, collection: str) -> str:
        published = self._find_published(collection)
        if published is None:
            raise CollectionMissing(f"collection {collection!r} is not indexed yet: overfetch index {collection}")
        return published

    def _find_published(self, collection: str) -> str | None:
        aliases = self._call(collection, self.client.get_aliases).aliases
        published = next((a.collection_name for a in aliases if a.alias_name == slug(collection)), None)
        if published is None and self._call(collection, self.client.collection_exists, slug(collection)):
            raise self._foreign(collection)
        return published

    def _foreign(self, collection: str) -> StoreError:
        return StoreError(f"{self.connection.address}: collection {slug(collection)!r} was not made by Overfetch")

    def _next_name(self, collection: str) -> str:
        """`SLUG--NUMBER`, one above the highest number in use."""
        prefix = f"{slug(collection)}--"
        names = [c.name for c in self._call(collection, self.client.get_collections).collections]
        numbers = [n.removeprefix(prefix) for n in names if n.startswith(prefix)]
        return f"{prefix}{max((int(n) for n in numbers if n.isdigit()), default=0) + 1:06d}"

    def _index_payload(self, collection: str, name: str, schema: Schema) -> None:
        """Does nothing where an index is there; in memory there are none, and the client warns of it."""
        for index in requests.payload_indexes(schema) if self.connection.address != MEMORY else ():
            self._call(collection, self.client.create_payload_index, name, wait=True, **index)

    def _await_indexes(self, collection: str, name: str) -> None:
        """Until the server has built them: searches of a half-indexed collection read every vector."""
        status, info = models.CollectionStatus, self._call(collection, self.client.get_collection, name)
        while info.status is status.YELLOW:
            time.sleep(INDEX_POLL_S)
            info = self._call(collection, self.client.get_collection, name)
        if info.status is status.RED:
            raise StoreError(f"{self.connection.address} cannot index {name!r}: {info.optimizer_status}")

    def _drop(self, collection: str, name: str) -> None:
        self._call(collection, self.client.delete_collection, name, timeout=LAYOUT_TIMEOUT_S)

    def _read_hashes(self, collection: str, name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        offset: Any = None
        while True:
            records, offset = self._call(
                collection,
                self.client.scroll,
                name,
                requests.within(self.partition),
                limit=SCROLL_PAGE,
                offset=offset,
                with_payload=[CONTENT_HASH],
            )
            found |= {str(record.id): (record.payload or {})[CONTENT_HASH] for record in records}
            if offset is None:
                return found


class ServerWriter:
    """Writes to one server collection. What it did is there when the call returns; twice is as good as once."""

    def __init__(self, store: ServerStore, collection: str, name: str) -> None:
        self.store = store
        self.collection = collection
        self.name = name

    def hashes(self) -> dict[str, str]:
        return self.store._read_hashes(self.collection, self.name)

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        records = self.store.connection.call(
            *(self.collection, self.store.client.retrieve, self.name, list(passage_ids)),
            with_payload=True,
            with_vectors=True,
        )
        return [from_record(record) for record in records]

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        """In requests of bounded size, several at once; the first that fails is raised when all have ended."""
        settings = self.store.settings
        starts = range(0, len(passages), settings.upload_batch)
        batches = [passages[start : start + settings.upload_batch] for start in starts]
        threads = 1 if self.store.connection.address == MEMORY else settings.upload_threads
        with ThreadPoolExecutor(threads, thread_name_prefix="overfetch-upload") as pool:
            list(pool.map(self._upload, batches))

    def delete(self, passage_ids: Sequence[str]) -> None:
        for start in range(0, len(passage_ids), SCROLL_PAGE):
            batch = models.PointIdsList(points=list(passage_ids[start : start + SCROLL_PAGE]))
            self._do(self.store.client.delete, batch)

    def _upload(self, batch: Sequence[EncodedPassage]) -> None:
        self._do(self.store.client.upsert, requests.points(batch))

    def _do(self, operation: Callable[..., object], what: object) -> None:
        self.store.connection.call(self.collection, operation, self.name, what, wait=True)

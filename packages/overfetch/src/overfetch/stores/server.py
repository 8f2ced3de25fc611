"""Qdrant behind qdrant-client: a server or cluster, or `:memory:` for tests of this adapter.

A collection's name is an alias; each rebuild fills a new collection beside the old one and moves the alias
(`server_generations`). Compatible changes are upserted in place. Provenance is the collection's own metadata.
"""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from overfetch.environment import ServerSettings
from overfetch.errors import CollectionMissing, StoreError, StoreUnavailable
from overfetch.filters import Condition, Schema
from overfetch.partitions import Partition
from overfetch.protocols import EncodedPassage, EncodedQuery, Found, Generation, ValueCount, Verified
from overfetch.provenance import WRITE_FIELDS, Provenance, require_match, require_searchable
from overfetch.settings import RetrievalSettings
from overfetch.stores import server_requests as requests
from overfetch.stores.payloads import slug
from overfetch.stores.server_connection import MEMORY, Connection
from overfetch.stores.server_contents import ServerContents
from overfetch.stores.server_generations import LAYOUT_TIMEOUT_S, ServerGenerations
from overfetch.stores.server_writing import ServerWriter
from overfetch.types import Passage

INDEX_POLL_S = 0.5

Read = TypeVar("Read")


class ServerStore:
    """Collections of one Qdrant server. Safe to share between threads, but for `:memory:`."""

    partition: Partition | None = None

    def __init__(self, address: str, settings: ServerSettings) -> None:
        """`:memory:`, `http(s)://HOST:PORT` or `grpc(s)://HOST:PORT`. Raises SettingsError."""
        self.settings = settings
        self.connection = Connection(address, settings)
        self._call, self._call_once = self.connection.call, self.connection.call_once

    @property
    def client(self) -> QdrantClient:
        """That of this process: a forked child has its own."""
        return self.connection.client

    def provenance(self, collection: str) -> Provenance:
        return self._read(collection, lambda name: self._provenance_of(collection, name))

    def hashes(self, collection: str) -> dict[str, str]:
        try:
            return self._read(collection, lambda name: self._contents(collection, name).hashes())
        except CollectionMissing:
            return {}

    def count(self, collection: str) -> int:
        return self._read(collection, self._generations(collection).count)

    def search(
        self,
        collection: str,
        query: EncodedQuery,
        conditions: Sequence[Condition],
        settings: RetrievalSettings,
        *,
        expected: Provenance | None = None,
    ) -> Found:
        def search(name: str) -> Found:
            made = self._provenance_of(collection, name)
            if expected is not None:
                require_searchable(collection, made, expected, [c.field for c in conditions])
            return Found(self._contents(collection, name).search(query, conditions, settings), made)

        return self._read(collection, search)

    def find(self, collection: str, passage_ids: Sequence[str]) -> list[Passage]:
        return self._read(collection, lambda name: self._contents(collection, name).find(passage_ids))

    def read(self, collection: str, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        return self._read(collection, lambda name: self._contents(collection, name).read(passage_ids))

    def passages(self, collection: str) -> Iterator[Passage]:
        return self._read(collection, lambda name: self._contents(collection, name).passages())

    def values(self, collection: str, field: str, limit: int) -> list[ValueCount]:
        return self._read(collection, lambda name: self._contents(collection, name).values(field, limit))

    def drop(self, collection: str) -> list[Generation]:
        """On a server also what others are building right now: nobody holds a lock there."""
        dropped = self._generations(collection).all()
        self._generations(collection).drop_all()
        return dropped

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False, resume: bool = True
    ) -> Iterator[ServerWriter]:
        published = self._find_published(collection)
        if published is None and self.partition is not None:
            published = self._publish_empty(collection, provenance, schema)
        if published is not None:
            fields = self._require_own(collection, published)
            if not rebuild:
                require_match(collection, Provenance.stored(collection, fields), provenance, WRITE_FIELDS)
        if published is None or rebuild:
            with self._building(collection, published, provenance, schema, resume=resume) as writer:
                yield writer
            return
        self._index_payload(collection, published, schema)
        writer = ServerWriter(self._contents(collection, published), in_place=True)
        yield writer
        writer.describe(provenance)

    @contextlib.contextmanager
    def _building(
        self, collection: str, published: str | None, provenance: Provenance, schema: Schema, *, resume: bool
    ) -> Iterator[ServerWriter]:
        """A collection beside the live one that takes over the alias on a clean exit, and waits for the next run else.

        With `resume` one that a killed or failed run left, where it was to become the same.
        """
        generations = self._generations(collection)
        left = generations.find_unfinished(provenance) if resume else None
        name = left or generations.next_name()
        if left is None:
            self._create(collection, name, provenance)
        writer = ServerWriter(self._contents(collection, name), in_place=False, wrote=left is not None)
        try:
            self._index_payload(collection, name, schema)
            yield writer
            writer.require_whole()
            self._await_indexes(collection, name)
            writer.describe(provenance)
            generations.point_at(name, published)
        except BaseException:
            if not writer.wrote:
                with contextlib.suppress(StoreError):
                    generations.drop(name)
            raise
        generations.remove_superseded(below=name)

    def _publish_empty(self, collection: str, provenance: Provenance, schema: Schema) -> str:
        """What the writers of all partitions fill; whoever comes first makes it, and every step may be repeated.

        The first number that is free, or taken by what another of these writers has just made: what a run of another
        kind left is not published.
        """
        name = self._generations(collection).name_to_share(provenance)
        try:
            self._create(collection, name, provenance)
        except (StoreError, ValueError):  # in memory it is a ValueError that says so
            if not self._call(collection, self.client.collection_exists, name):
                raise
        self._index_payload(collection, name, schema)
        move = requests.move_alias(slug(collection), None, name)
        self._call(collection, self.client.update_collection_aliases, move, timeout=LAYOUT_TIMEOUT_S)
        return name

    def _create(self, collection: str, name: str, provenance: Provenance) -> None:
        """Not twice: whoever finds the name taken learns so that another process writes this collection too."""
        layout = requests.collection(provenance, self.settings)
        self._call_once(collection, self.client.create_collection, name, timeout=LAYOUT_TIMEOUT_S, **layout)

    def only(self, partition: Partition) -> "ServerStore":
        view = copy.copy(self)
        view.partition = partition
        return view

    def generations(self, collection: str) -> list[Generation]:
        return self._generations(collection).all()

    def verify(self, collection: str) -> list[Verified]:
        """A server keeps no sums that could be asked for: ids and content hashes are compared."""
        published = [name for name in self._generations(collection).aliases() if name]
        return [self._verified(collection, name) for name in published]

    def _verified(self, collection: str, name: str) -> Verified:
        made = self._provenance_of(collection, name)
        held = made.holding(self._contents(collection, name).hashes(), made.recall)
        same = made.corpus_hash in (None, held.corpus_hash)
        problem = None if same else f"it holds {held.passages} passages of {made.passages}, or others than were written"
        return Verified(name=name, problem=problem, sealed=False)

    def rollback(self, collection: str) -> Generation:
        live = self._published(collection)
        generations = self._generations(collection)
        previous = generations.aliases().previous
        if previous is None:
            raise StoreError(f"collection {collection!r} has no previous generation to go back to: only {live}")
        generations.point_at(previous, live)
        return generations.all()[0]

    def prune(self, collection: str, keep: int = 1) -> list[Generation]:
        """On a server also what others are building right now: nobody holds a lock there."""
        generations = self._generations(collection)
        before, aliases = generations.all(), generations.aliases()
        if aliases.live and aliases.previous and keep < 2:
            generations.point_at(aliases.live, None)
        generations.remove_superseded()
        left = {generation.name for generation in generations.all()}
        return [generation for generation in before if generation.name not in left]

    def close(self) -> None:
        self.connection.close()

    def _contents(self, collection: str, name: str) -> ServerContents:
        return ServerContents(self.connection, self.settings, collection, name, self.partition)

    def _generations(self, collection: str) -> ServerGenerations:
        return ServerGenerations(self.connection, collection)

    def _provenance_of(self, collection: str, name: str) -> Provenance:
        return Provenance.stored(collection, self._require_own(collection, name))

    def _require_own(self, collection: str, name: str) -> dict[str, Any]:
        """What Overfetch did not make is not Overfetch's to read or replace."""
        fields = self._generations(collection).metadata(name)
        if fields is None:
            raise self._foreign(collection)
        return fields

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
        published = self._generations(collection).aliases().live
        if published is None and self._call(collection, self.client.collection_exists, slug(collection)):
            published = self._generations(collection).aliases().live  # made by another writer meanwhile
            if published is None:
                raise self._foreign(collection)
        return published

    def _foreign(self, collection: str) -> StoreError:
        return StoreError(f"{self.connection.address}: collection {slug(collection)!r} was not made by Overfetch")

    def _index_payload(self, collection: str, name: str, schema: Schema) -> None:
        """Does nothing where an index is there; in memory there are none, and the client warns of it."""
        for index in requests.payload_indexes(schema) if self.connection.address != MEMORY else ():
            self._call(collection, self.client.create_payload_index, name, wait=True, **index)

    def _await_indexes(self, collection: str, name: str) -> None:
        """Until the server has built them: searches of a half-indexed collection read every vector.

        A collection that it cannot index is removed: the next run would fail on it again.
        """
        status, info = models.CollectionStatus, self._call(collection, self.client.get_collection, name)
        while info.status is status.YELLOW:
            time.sleep(INDEX_POLL_S)
            info = self._call(collection, self.client.get_collection, name)
        if info.status is status.RED:
            self._generations(collection).drop(name)
            raise StoreError(f"{self.connection.address} cannot index {name!r}: {info.optimizer_status}")

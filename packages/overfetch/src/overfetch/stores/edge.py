"""Qdrant Edge in process: a collection is a folder of published generations and one pointer (`edge_generations`).

Nobody writes a published generation any more, so any number of processes search it while the writer builds
the next one beside it. Readers move over at their next query, and keep what they have open until then.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from overfetch.errors import CollectionMissing, OverfetchError, StoreError, StoreUnavailable
from overfetch.filters import Condition, Schema
from overfetch.forking import ProcessLock, starting_over
from overfetch.partitions import Partition, need_server
from overfetch.protocols import EncodedPassage, EncodedQuery, Found, Generation, ValueCount, Verified
from overfetch.provenance import WRITE_FIELDS, Provenance, require_match, require_searchable
from overfetch.settings import RetrievalSettings
from overfetch.stores.copying import size_of
from overfetch.stores.edge_generations import CollectionFolder, GenerationFolder
from overfetch.stores.edge_opening import Opened, count, count_values, key_of, open_generation, require_whole, verify
from overfetch.stores.edge_writing import (
    EdgeWriter,
    begin,
    find_in_shard,
    read_hashes,
    read_in_shard,
    scroll_passages,
    search_shard,
    translated,
)
from overfetch.stores.payloads import slug
from overfetch.types import Passage

Read = TypeVar("Read")


class EdgeStore:
    """Collections below one folder. Safe to share between threads; open one in each process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: dict[str, Opened] = {}
        self._were_there: set[str] = set()
        self._of_the_parent: list[object] = []
        self._opening = ProcessLock()
        starting_over(self)

    def start_over(self) -> None:
        """The engine's threads and locks stay behind in a fork: its shards can be neither searched nor closed here."""
        self._of_the_parent.append(self._opened)
        self._opened = {}

    def provenance(self, collection: str) -> Provenance:
        with translated(f"cannot read {collection!r}"):
            return self._read(collection, lambda live: _read_own(collection, live))

    def hashes(self, collection: str) -> dict[str, str]:
        with translated(f"cannot read {collection!r}"):
            try:
                return self._read(collection, lambda live: read_hashes(self._open(collection, live).shard))
            except CollectionMissing:
                return {}

    def count(self, collection: str) -> int:
        with translated(f"cannot count {collection!r}"):
            return self._read(collection, lambda live: count(self._open(collection, live).shard))

    def search(
        self,
        collection: str,
        query: EncodedQuery,
        conditions: Sequence[Condition],
        settings: RetrievalSettings,
        *,
        expected: Provenance | None = None,
    ) -> Found:
        def search(live: GenerationFolder) -> Found:
            _, made, shard, _ = self._open(collection, live)
            if expected is not None:
                require_searchable(collection, made, expected, [c.field for c in conditions])
            return Found(search_shard(shard, query, conditions, settings, made.passages or 0), made)

        with translated(f"cannot search {collection!r}"):
            return self._read(collection, search)

    def find(self, collection: str, passage_ids: Sequence[str]) -> list[Passage]:
        with translated(f"cannot read {collection!r}"):
            return self._read(collection, lambda live: find_in_shard(self._open(collection, live).shard, passage_ids))

    def read(self, collection: str, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        with translated(f"cannot read {collection!r}"):
            return self._read(collection, lambda live: read_in_shard(self._open(collection, live).shard, passage_ids))

    def passages(self, collection: str) -> Iterator[Passage]:
        with translated(f"cannot read {collection!r}"):
            yield from scroll_passages(self._read(collection, lambda live: self._open(collection, live).shard))

    def values(self, collection: str, field: str, limit: int) -> list[ValueCount]:
        with translated(f"cannot count the values of {field!r} in {collection!r}"):
            return self._read(collection, lambda live: count_values(self._open(collection, live).shard, field, limit))

    def drop(self, collection: str) -> list[Generation]:
        folder = self._folder(collection)
        dropped = self.generations(collection)
        if dropped:
            with folder.writing(collection), translated(f"cannot delete {collection!r}"):
                folder.unpublish()
                folder.remove_unpublished()
                with self._opening:  # what is made next must not be taken for it
                    self._opened.pop(collection, None)
        return dropped

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False, resume: bool = True
    ) -> Iterator[EdgeWriter]:
        folder = self._folder(collection)
        with folder.writing(collection):
            if rebuild:
                folder.recover()
            last = None if rebuild else folder.live()
            if last is not None:
                require_match(collection, _read_own(collection, last), provenance, WRITE_FIELDS)
            with translated(f"cannot write {collection!r}"):
                writer = begin(folder, last, provenance, schema, resume=resume)
            try:
                yield writer  # what the caller raises here is the caller's own, and stays as it is
                writer.seal(collection)
            except BaseException:
                writer.leave()
                raise
            with translated(f"cannot publish {collection!r}"):
                folder.point_at(writer.building.name, folder.pointer().live)
                folder.remove_unpublished()

    def generations(self, collection: str) -> list[Generation]:
        folder = self._folder(collection)
        with translated(f"cannot read {collection!r}"):
            live, previous, *_ = folder.pointer()
            published = [(name, state) for name, state in ((live, "live"), (previous, "previous")) if name]
            unfinished = [(building.name, "unfinished") for building in folder.unfinished()]
            return [_describe(collection, folder.generation(name), state) for name, state in published + unfinished]

    def verify(self, collection: str) -> list[Verified]:
        folder = self._folder(collection)
        with translated(f"cannot verify {collection!r}"):
            folder.require_live_there()
            live, previous = folder.live(), folder.pointer().previous
            published = [live, folder.generation(previous) if previous else None]
        return [verify(collection, generation) for generation in published if generation]

    def rollback(self, collection: str) -> Generation:
        folder = self._folder(collection)
        live = self._read(collection, lambda live: live.name)
        with folder.writing(collection):
            previous = folder.pointer().previous
            if previous is None:
                raise StoreError(f"collection {collection!r} has no previous generation to go back to: only {live}")
            target = folder.generation(previous)
            with translated(f"cannot go back to generation {previous} of {collection!r}"):
                require_whole(collection, target)
                folder.point_at(previous, folder.pointer().live)
        return _describe(collection, target, "live")

    def prune(self, collection: str, keep: int = 1) -> list[Generation]:
        folder = self._folder(collection)
        if not folder.path.exists():
            return []
        with folder.writing(collection), translated(f"cannot prune {collection!r}"):
            folder.require_live_there()
            before = self.generations(collection)
            pointer = folder.pointer()
            if pointer.live and pointer.previous and keep < 2:
                folder.point_at(pointer.live, None)
            folder.remove_unpublished()
            left = {generation.name for generation in self.generations(collection)}
        return [generation for generation in before if generation.name not in left]

    def only(self, partition: Partition) -> "EdgeStore":
        raise need_server(partition)

    def close(self) -> None:
        """Closes the shards that this object opened."""
        with self._opening:
            for opened in self._opened.values():
                opened.shard.close()
            self._opened.clear()

    def _folder(self, collection: str) -> CollectionFolder:
        """Raises StoreUnavailable where it was there before: moved away, not deleted, which leaves the folder."""
        folder = CollectionFolder(self.root / slug(collection))
        with translated(f"cannot look for {collection!r}"):
            if folder.path.exists():
                self._were_there.add(collection)
            elif collection in self._were_there:
                raise StoreUnavailable(f"{folder.path} is gone, which held {collection!r}: put it back, or start again")
        return folder

    def _read(self, collection: str, read: Callable[[GenerationFolder], Read]) -> Read:
        """Reads the live generation; again if a writer replaced and removed it meanwhile."""
        while True:
            folder = self._folder(collection)
            live = folder.live()
            if live is None:
                where = "" if self.root.exists() else f"; there is no store at {self.root} (OVERFETCH_QDRANT)"
                raise CollectionMissing(
                    f"collection {collection!r} is not indexed yet: overfetch index {collection}{where}"
                )
            try:
                return read(live)
            except Exception:
                now = folder.live()
                if now is not None and (now.name, now.identity) == (live.name, live.identity):
                    folder.require_live_there()
                    raise

    def _open(self, collection: str, generation: GenerationFolder) -> Opened:
        """A generation is opened once, and the next one after each swap."""
        opened = self._opened.get(collection)
        if opened is None or opened.key != key_of(generation):
            with self._opening:
                opened = self._opened.get(collection)
                if opened is None or opened.key != key_of(generation):
                    # A replaced shard is not closed here: another thread may still be searching it.
                    opened = self._opened[collection] = open_generation(collection, generation)
        return opened


def _read_own(collection: str, generation: GenerationFolder) -> Provenance:
    generation.require_own(collection)
    return generation.read_provenance(collection)


def _describe(collection: str, generation: GenerationFolder, state: str) -> Generation:
    try:
        made = generation.read_provenance(collection)
    except (OSError, json.JSONDecodeError, OverfetchError):
        made = None
    return Generation.model_validate(
        {
            "name": generation.name,
            "state": state,
            "passages": made.passages if made else None,
            "bytes": size_of(generation.path),
            "provenance": made,
        }
    )

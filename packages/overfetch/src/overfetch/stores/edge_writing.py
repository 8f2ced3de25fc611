"""Writing one generation of a Qdrant Edge collection: checkpoints, its search index, what a kill leaves in doubt."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qdrant_edge import EdgeShard, ScrollRequest, UpdateOperation

from overfetch.errors import OverfetchError, StoreError, StoreUnavailable
from overfetch.filters import Condition, Schema
from overfetch.protocols import Copied, EncodedPassage, EncodedQuery
from overfetch.provenance import Provenance, Recall
from overfetch.settings import RetrievalSettings
from overfetch.stores import edge_requests as requests
from overfetch.stores.copying import make_durable, size_of, sync
from overfetch.stores.edge_generations import CollectionFolder, GenerationFolder, remove
from overfetch.stores.known import is_bounded, search_known
from overfetch.stores.optimising import optimise
from overfetch.stores.payloads import CONTENT_HASH, from_payload, from_record
from overfetch.stores.room import require_room, size_in_store, size_with_search_index
from overfetch.types import Candidate, Passage

SCROLL_PAGE = 4096
SHOWN_PAGE = 256  # with their texts
CHECKPOINT_S = 20.0  # what a kill can cost
OWN_PROCESS = 1000  # passages: below, the engine has no search index to build


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """The engine raises bare Exception, and panics; callers see StoreError."""
    try:
        yield
    except OverfetchError:
        raise
    except OSError as error:
        raise StoreUnavailable(f"{what}: {_first_of(error)}") from error
    except BaseException as error:
        if type(error) not in (Exception, RuntimeError) and type(error).__name__ != "PanicException":
            raise
        raise StoreError(f"{what}: {error}") from error


def _first_of(error: OSError) -> str:
    """A copy of a folder tells each file that it could not copy: the first says enough."""
    if isinstance(error, shutil.Error) and error.args and error.args[0]:
        source, _, reason = error.args[0][0]
        return f"{source}: {reason}"
    return str(error)


def scroll_hashes(shard: EdgeShard) -> Iterator[tuple[str, str]]:
    """(passage id, content hash) of everything in the shard."""
    offset = None
    while True:
        records, offset = shard.scroll(ScrollRequest(offset=offset, limit=SCROLL_PAGE, with_payload=[CONTENT_HASH]))
        yield from ((str(record.id), (record.payload or {})[CONTENT_HASH]) for record in records)
        if offset is None:
            return


def read_hashes(shard: EdgeShard) -> dict[str, str]:
    """Content hash by passage id of everything in the shard."""
    return dict(scroll_hashes(shard))


def scroll_passages(shard: EdgeShard) -> Iterator[Passage]:
    """Everything in the shard, a page at a time."""
    offset = None
    while True:
        records, offset = shard.scroll(ScrollRequest(offset=offset, limit=SHOWN_PAGE, with_payload=True))
        yield from (from_payload(str(record.id), record.payload or {}) for record in records)
        if offset is None:
            return


def find_in_shard(shard: EdgeShard, passage_ids: Sequence[str]) -> list[Passage]:
    records = shard.retrieve(list(passage_ids), True, False)
    return [from_payload(str(record.id), record.payload or {}) for record in records]


def read_in_shard(shard: EdgeShard, passage_ids: Sequence[str]) -> list[EncodedPassage]:
    return [from_record(record) for record in shard.retrieve(list(passage_ids), True, True)]


def search_shard(
    shard: EdgeShard, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings, passages: int
) -> list[Candidate]:
    if is_bounded(conditions):
        return search_known(lambda s: _query(shard, query, conditions, s, passages), query, settings)
    return _query(shard, query, conditions, settings, passages)


def _query(
    shard: EdgeShard, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings, passages: int
) -> list[Candidate]:
    found = shard.query(requests.search(query, conditions, settings, passages))
    return [Candidate(passage=from_payload(str(p.id), p.payload or {}), score=p.score) for p in found]


class EdgeWriter:
    """Builds one generation; nobody else sees it until it is published."""

    in_place = False

    def __init__(
        self, building: GenerationFolder, provenance: Provenance, schema: Schema, lock: Path, *, resumed: bool
    ) -> None:
        self.building = building
        self.copied: Copied | None = building.copied
        self.recall: Recall | None = None
        self._provenance = provenance
        self._optimising = lock
        self._finished = False
        self._worth_keeping = resumed
        self._changing = False
        self.shard = EdgeShard.load(str(building.shard))
        for operation in requests.payload_indexes(schema):  # does nothing where the index is there
            self.shard.update(operation)
        if in_doubt := building.touched():
            self.shard.update(requests.delete(in_doubt))
            self._checkpoint()
        self._flushed = time.monotonic()
        self._hashes = read_hashes(self.shard)

    def hashes(self) -> dict[str, str]:
        return dict(self._hashes)

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        with translated("cannot read passages"):
            return read_in_shard(self.shard, passage_ids)

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        with translated("cannot store passages"):
            require_room(self.building.path, size_in_store(passages), "cannot store passages")
            self._change([p.passage.id for p in passages], requests.upsert(passages))
        self._hashes |= {p.passage.id: p.passage.content_hash for p in passages}

    def delete(self, passage_ids: Sequence[str]) -> None:
        if passage_ids:
            with translated("cannot delete passages"):
                self._change(passage_ids, requests.delete(passage_ids))
        for passage_id in passage_ids:
            self._hashes.pop(passage_id, None)

    def search(
        self, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        self.finish()
        with translated("cannot search the new generation"):
            return search_shard(self.shard, query, conditions, settings, len(self._hashes))

    def finish(self) -> None:
        """Builds the search index, flushes, and checks that every passage is there."""
        if self._finished:
            return
        with translated("cannot finish the generation"):
            self._build_search_index()
            as_written = [self._hashes.get(i) == content_hash for i, content_hash in scroll_hashes(self.shard)]
        if not len(as_written) == sum(as_written) == len(self._hashes):
            found = f"{len(as_written)} passages, {sum(as_written)} of them as written"
            raise StoreError(f"the new generation holds {found}; expected {len(self._hashes)}")
        self._finished = True

    def _build_search_index(self) -> None:
        if len(self._hashes) < OWN_PROCESS:
            self.shard.optimize()
            self._checkpoint()
            return
        self._checkpoint()
        needed = size_with_search_index(size_of(self.building.shard))
        require_room(self.building.path, needed, "cannot build the search index")
        self.shard.close()
        requests.keep_cached(self.building.shard, self._provenance.dimension)
        optimise(self.building.shard, self._optimising)
        self.shard = EdgeShard.load(str(self.building.shard))

    def seal(self, collection: str) -> None:
        """Finished, durable, and told what it holds: ready to be published."""
        self.finish()
        with translated("cannot seal the generation"):
            require_room(self.building.path, 0, "cannot seal the generation")
            self.shard.close()
            self.building.write_provenance(self._provenance.holding(self._hashes, self.recall))
            self.building.seal(collection)
            make_durable(self.building.path)
            sync(self.building.path.parent)  # which names it

    def leave(self) -> None:
        """Keeps what was written for the next run, if anything was."""
        with contextlib.suppress(Exception):
            if self._worth_keeping and not self._changing:
                self._checkpoint()
            self.shard.close()
        if not self._worth_keeping:
            remove(self.building.path)

    def _change(self, passage_ids: Sequence[str], operation: UpdateOperation) -> None:
        """A kill leaves what is not flushed in doubt: old vectors under new texts, or the reverse."""
        self._finished, self._worth_keeping = False, True
        if time.monotonic() - self._flushed > CHECKPOINT_S:
            self._checkpoint()
        self.building.touch(passage_ids)
        self._changing = True
        self.shard.update(operation)
        self._changing = False

    def _checkpoint(self) -> None:
        self.shard.flush()
        self.building.forget_touched()
        self._flushed = time.monotonic()


def begin(
    folder: CollectionFolder, last: GenerationFolder | None, provenance: Provenance, schema: Schema, *, resume: bool
) -> EdgeWriter:
    """With `resume` what a killed run left if it can be gone on with, else a copy of `last`, or an empty generation."""
    lock = folder.path / "optimising.lock"
    if resume and (left := next(iter(folder.unfinished()), None)) and left.can_go_on(last, provenance):
        with contextlib.suppress(StoreError), translated("what a killed run left cannot be opened"):
            return EdgeWriter(left, provenance, schema, lock, resumed=True)
    folder.remove_unpublished()
    building = folder.next()
    building.begin(last)
    if last is None:
        EdgeShard.create(str(building.shard), requests.shard_config(provenance.dimension)).close()
    building.mark_begun(last, provenance)
    return EdgeWriter(building, provenance, schema, lock, resumed=False)

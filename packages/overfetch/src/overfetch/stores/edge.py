"""Qdrant Edge in process: a collection is a folder of published generations and one pointer.

    COLLECTION/CURRENT            name of the published generation; replaced atomically
    COLLECTION/generations/NAME/  a flushed Edge shard without a WAL, and provenance.json
    COLLECTION/writer.lock        held by the one writer; released by the system when its process dies
    COLLECTION/writer.json        who holds it
    COLLECTION/open.lock          held while a process opens or copies a generation

Nobody writes a published generation any more, so any number of processes search it while the writer builds
the next one beside it. Readers move over at their next query.
"""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout
from qdrant_edge import CountRequest, EdgeShard, ScrollRequest

from overfetch.errors import CollectionMissing, StoreError, StoreLocked, StoreUnavailable
from overfetch.filters import Condition, Schema
from overfetch.partitions import Partition, need_server
from overfetch.protocols import EncodedPassage, EncodedQuery
from overfetch.provenance import WRITE_FIELDS, Provenance, require_match
from overfetch.settings import RetrievalSettings
from overfetch.stores import edge_requests as requests
from overfetch.stores.payloads import CONTENT_HASH, from_payload, from_record, slug
from overfetch.types import Candidate

POINTER, PROVENANCE, SHARD, OPENING = "CURRENT", "provenance.json", "shard", "open.lock"
KEPT_GENERATIONS, SCROLL_PAGE = 2, 4096
EMPTY = bytes(64 * 1024)

Read = TypeVar("Read")


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """The engine raises bare Exception; callers see StoreError."""
    try:
        yield
    except (StoreError, KeyboardInterrupt):
        raise
    except OSError as error:
        raise StoreUnavailable(f"{what}: {error}") from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise StoreError(f"{what}: {error}") from error


def read_hashes(shard: EdgeShard) -> dict[str, str]:
    """Content hash by passage id of everything in the shard."""
    found: dict[str, str] = {}
    offset = None
    while True:
        records, offset = shard.scroll(ScrollRequest(offset=offset, limit=SCROLL_PAGE, with_payload=[CONTENT_HASH]))
        found |= {str(record.id): (record.payload or {})[CONTENT_HASH] for record in records}
        if offset is None:
            return found


class EdgeWriter:
    """Builds one generation; nobody else sees it until it is published."""

    def __init__(self, shard: EdgeShard) -> None:
        self.shard = shard
        self._hashes = read_hashes(shard)

    def hashes(self) -> dict[str, str]:
        return dict(self._hashes)

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        with translated("cannot read passages"):
            return [from_record(record) for record in self.shard.retrieve(list(passage_ids), True, True)]

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        with translated("cannot store passages"):
            self.shard.update(requests.upsert(passages))
        self._hashes |= {p.passage.id: p.passage.content_hash for p in passages}

    def delete(self, passage_ids: Sequence[str]) -> None:
        with translated("cannot delete passages"):
            self.shard.update(requests.delete(passage_ids))
        for passage_id in passage_ids:
            self._hashes.pop(passage_id, None)

    def finish(self) -> None:
        """Builds the search index, flushes, and checks that every passage is there."""
        with translated("cannot finish the generation"):
            self.shard.optimize()
            self.shard.flush()
            stored = read_hashes(self.shard)
            self.shard.close()
        if stored != self._hashes:
            raise StoreError(f"the new generation holds {len(stored)} passages, expected {len(self._hashes)}")


class EdgeStore:
    """Collections below one folder. Safe to share between threads; open one in each process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: dict[str, tuple[str, EdgeShard]] = {}
        self._opening = threading.Lock()

    def provenance(self, collection: str) -> Provenance:
        with translated(f"cannot read {collection!r}"):
            return self._published(collection, _read_provenance)

    def hashes(self, collection: str) -> dict[str, str]:
        try:
            shard = self._shard(collection)
        except CollectionMissing:
            return {}
        with translated(f"cannot read {collection!r}"):
            return read_hashes(shard)

    def count(self, collection: str) -> int:
        with translated(f"cannot count {collection!r}"):
            return self._shard(collection).count(CountRequest(exact=True))

    def search(
        self, collection: str, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        with translated(f"cannot search {collection!r}"):
            found = self._shard(collection).query(requests.search(query, conditions, settings))
        return [Candidate(passage=from_payload(str(p.id), p.payload or {}), score=p.score) for p in found]

    @contextlib.contextmanager
    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False
    ) -> Iterator[EdgeWriter]:
        folder = self._folder(collection)
        failure = f"cannot write {collection!r}"
        with _only_writer(folder, collection):
            last = None if rebuild else _published(folder)
            building = folder / "generations" / f"{_next_number(folder):06d}"
            try:
                if last is not None:
                    require_match(collection, _read_provenance(last), provenance, WRITE_FIELDS)
                with translated(failure):
                    writer = EdgeWriter(_start_generation(building, last, provenance, schema))
                yield writer  # what the caller raises here is the caller's own, and stays as it is
                writer.finish()
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise
            with translated(failure):
                _point_at(folder, building.name)
            _remove_old(folder)

    def only(self, partition: Partition) -> "EdgeStore":
        raise need_server(partition)

    def close(self) -> None:
        """Closes the shards that this object opened."""
        with self._opening:
            for _, shard in self._opened.values():
                shard.close()
            self._opened.clear()

    def _folder(self, collection: str) -> Path:
        return self.root / slug(collection)

    def _published(self, collection: str, read: Callable[[Path], Read]) -> Read:
        """Reads the published generation; again if a writer replaced and removed it meanwhile."""
        while True:
            generation = _published(self._folder(collection))
            if generation is None:
                raise CollectionMissing(f"collection {collection!r} is not indexed yet: overfetch index {collection}")
            try:
                return read(generation)
            except Exception:
                if _published(self._folder(collection)) == generation:
                    raise

    def _shard(self, collection: str) -> EdgeShard:
        return self._published(collection, lambda generation: self._open(collection, generation))

    def _open(self, collection: str, generation: Path) -> EdgeShard:
        """The shard of a generation, opened once and again after each swap."""
        opened = self._opened.get(collection)
        if opened is None or opened[0] != generation.name:
            with self._opening:
                opened = self._opened.get(collection)
                if opened is None or opened[0] != generation.name:
                    # A replaced shard is not closed here: another thread may still be searching it.
                    opened = self._opened[collection] = (generation.name, _load(generation))
        return opened[1]


def _published(folder: Path) -> Path | None:
    try:
        name = (folder / POINTER).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return folder / "generations" / name


def _read_provenance(generation: Path) -> Provenance:
    return Provenance.model_validate_json((generation / PROVENANCE).read_text(encoding="utf-8"))


def _opening_lock(generation: Path) -> FileLock:
    """Beside the generations: a lock inside would bring a removed one back."""
    return FileLock(generation.parent.parent / OPENING)


def _load(generation: Path) -> EdgeShard:
    """Opens a shard; one process at a time, since loading replaces and removes small files of the shard."""
    with _opening_lock(generation):
        return EdgeShard.load(str(generation / SHARD))


def _copy(generation: Path, building: Path) -> None:
    """Copies the shard while nobody opens it: a file that vanishes would fail the copy."""
    with _opening_lock(generation):
        shutil.copytree(generation / SHARD, building / SHARD, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> None:
    """Leaves holes where the file is empty: the engine reserves 100 MB for the smallest collection."""
    with Path(source).open("rb") as read, Path(target).open("wb") as write:
        while block := read.read(len(EMPTY)):
            if block == EMPTY:
                write.seek(len(EMPTY), os.SEEK_CUR)
            else:
                write.write(block)
        write.truncate()


def _next_number(folder: Path) -> int:
    published = _published(folder)
    return int(published.name) + 1 if published else 1


def _start_generation(building: Path, last: Path | None, provenance: Provenance, schema: Schema) -> EdgeShard:
    """A copy of the last generation, or an empty one; what a killed writer left is cleared away."""
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    (building / PROVENANCE).write_text(provenance.model_dump_json(indent=1), encoding="utf-8")
    if last is not None:
        _copy(last, building)
        shard = EdgeShard.load(str(building / SHARD))
    else:
        shard = EdgeShard.create(str(building / SHARD), requests.shard_config(provenance.dimension))
    for operation in requests.payload_indexes(schema):  # does nothing where the index is there
        shard.update(operation)
    return shard


def _point_at(folder: Path, name: str) -> None:
    partial = folder / f"{POINTER}.partial"
    with partial.open("w", encoding="utf-8") as file:
        file.write(name)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / POINTER)


def _remove_old(folder: Path) -> None:
    """Keeps the published generation and the one before it."""
    generations = sorted(path for path in (folder / "generations").iterdir() if path.is_dir())
    for path in generations[:-KEPT_GENERATIONS]:
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _only_writer(folder: Path, collection: str) -> Iterator[None]:
    """Raises StoreLocked naming the holder. A dead holder's lock is free: the system releases it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "writer.lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise StoreLocked(
            f"collection {collection!r} is being written by {_holder(folder)}; wait for it or stop it. "
            "Searches go on meanwhile"
        ) from error
    except OSError as error:
        raise StoreUnavailable(f"cannot write below {folder}: {error.strerror}") from error
    try:
        (folder / "writer.json").write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
        yield
    finally:
        (folder / "writer.json").unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    try:
        return f"process {json.loads((folder / 'writer.json').read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "another process"

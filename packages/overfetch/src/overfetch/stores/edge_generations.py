"""The folder of one collection: published generations, one pointer, what a killed writer left, one writer's lock.

    CURRENT                       the live generation, the previous one, the highest ever published, the live one's id
    generations/NAME/shard/       a flushed Edge shard without a WAL
    generations/NAME/provenance.json
    generations/NAME/sealed.json  its id, whose it is, what its files held when it was published
    generations/NAME/begun.json   what it began from; whoever finds it unpublished may take it up again
    generations/NAME/touched      ids written since the last flush: after a kill they are in doubt
    generations/NAME.removed      being removed
    writer.lock, writer.json      held by the one writer, and who that is; released by the system when it dies
    optimising.lock               held while a writer's child builds the search index
    open.lock                     held while a process opens or copies a generation

A new generation has a number above all that were ever published: readers know theirs by its name. Only the pointer
tells what is published, and it is replaced atomically.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from overfetch.errors import OverfetchError, StoreError, StoreLocked, StoreUnavailable
from overfetch.protocols import Copied
from overfetch.provenance import Provenance, is_same_work
from overfetch.stores.copying import copy_folder, sync
from overfetch.stores.pointers import NAME, Pointer, read_pointer, replace, write_pointer
from overfetch.stores.room import require_room
from overfetch.stores.sealing import SEAL, Seal, make_seal, read_seal

REMOVED = ".removed"
BOOT = Path("/proc/sys/kernel/random/boot_id")
ORPHAN_PATIENCE_S = 30.0


class GenerationFolder:
    """One generation, as files."""

    def __init__(self, path: Path, identity: str | None = None) -> None:
        """`identity` is what the pointer says of it."""
        self.path = path
        self.name = path.name
        self.identity = identity
        self.shard = path / "shard"
        self.lock = path.parent.parent / "open.lock"
        self.copied: Copied | None = None

    def begin(self, last: "GenerationFolder | None") -> None:
        """A copy of the last generation, or nothing yet."""
        self.path.mkdir(parents=True)
        if last is not None:
            with last.opening():  # a file that vanishes would fail the copy
                self.copied = copy_folder(last.shard, self.shard)

    def mark_begun(self, last: "GenerationFolder | None", provenance: Provenance) -> None:
        """From here on it may be taken up again."""
        self.write_provenance(provenance)
        replace(self.path / "begun.json", json.dumps({"last": last.name if last else None, "boot": _boot()}))

    def can_go_on(self, last: "GenerationFolder | None", provenance: Provenance) -> bool:
        """Whether it began as a run with these would, under this boot: what a crash of the machine left is in doubt."""
        try:
            begun = json.loads((self.path / "begun.json").read_text(encoding="utf-8"))
            stored = self.read_provenance("")
        except (OSError, ValueError, OverfetchError):
            return False
        return is_same_work(stored, provenance) and begun == {"last": last.name if last else None, "boot": _boot()}

    def read_provenance(self, collection: str) -> Provenance:
        path = self.path / "provenance.json"
        try:
            return Provenance.stored(collection, dict(json.loads(path.read_bytes())))
        except (ValueError, TypeError) as error:
            raise StoreError(f"{path} is damaged: it is no provenance") from error

    def write_provenance(self, provenance: Provenance) -> None:
        replace(self.path / "provenance.json", provenance.model_dump_json(indent=1))

    def seal(self, collection: str) -> None:
        """Says what it is and what it holds, once nobody writes it any more."""
        replace(self.path / SEAL, make_seal(collection, self.shard).model_dump_json(indent=1))

    def require_own(self, collection: str) -> Seal | None:
        """Its seal, unless an earlier version wrote it. Raises StoreError where it is another's, or another one."""
        seal = read_seal(self.path)
        if seal is not None and seal.collection != collection:
            raise StoreError(f"{self.path} belongs to {seal.collection!r}, not to {collection!r}")
        if self.identity is not None and (seal is None or seal.id != self.identity):
            raise StoreError(f"{self.path} is not the generation that was published under this name")
        return seal

    def opening(self) -> FileLock:
        """Loading a shard replaces and removes small files of it, so one process at a time.

        Beside the generations: a lock inside would bring a removed one back.
        """
        return FileLock(self.lock)

    def touch(self, passage_ids: Sequence[str]) -> None:
        """Notes what is about to be written."""
        with (self.path / "touched").open("a", encoding="utf-8") as file:
            file.writelines(f"{passage_id}\n" for passage_id in passage_ids)

    def touched(self) -> list[str]:
        try:
            text = (self.path / "touched").read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return text.split("\n")[:-1]  # a line cut short was not written to the shard yet

    def forget_touched(self) -> None:
        (self.path / "touched").unlink(missing_ok=True)


class CollectionFolder:
    """All generations of one collection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def pointer(self) -> Pointer:
        """Raises StoreError where the file is damaged."""
        return read_pointer(self.path / "CURRENT")

    def point_at(self, live: str, previous: str | None) -> None:
        seal = read_seal(self.generation(live).path)
        highest = max(int(live), self.pointer().highest)
        write_pointer(self.path / "CURRENT", Pointer(live, previous, highest, seal.id if seal else None))

    def recover(self) -> None:
        """Where CURRENT is damaged or names what is gone: the newest finished generation is what was live."""
        with contextlib.suppress(StoreError):
            live = self.live()
            if live is None or live.path.is_dir():
                return
        found = sorted((n for n in self._names() if NAME.fullmatch(n)), reverse=True)
        finished = next(filter(self._is_finished, found), None)
        (self.path / "CURRENT").unlink()
        if finished is not None:
            write_pointer(self.path / "CURRENT", Pointer(finished, None, int(found[0])))

    def _is_finished(self, name: str) -> bool:
        try:
            return self.generation(name).read_provenance("").passages is not None
        except (OSError, ValueError, OverfetchError):
            return False

    def require_live_there(self) -> None:
        """Raises FileNotFoundError where CURRENT names what is gone."""
        live = self.live()
        if live is not None and not live.path.is_dir():
            raise FileNotFoundError(f"{self.path / 'CURRENT'} names generation {live.name}, which is missing")

    def unpublish(self) -> None:
        """No generation is live any more: a kill after this leaves what the next write clears away."""
        (self.path / "CURRENT").unlink(missing_ok=True)
        sync(self.path)

    def generation(self, name: str) -> GenerationFolder:
        return GenerationFolder(self.path / "generations" / name)

    def live(self) -> GenerationFolder | None:
        pointer = self.pointer()
        return GenerationFolder(self.generation(pointer.live).path, pointer.identity) if pointer.live else None

    def unpublished(self) -> list[GenerationFolder]:
        """What no pointer names, newest first: unfinished, or on its way out."""
        pointer = self.pointer()
        return [
            self.generation(name)
            for name in sorted(self._names(), reverse=True)
            if name not in (pointer.live, pointer.previous)
        ]

    def _names(self) -> list[str]:
        folder = self.path / "generations"
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def unfinished(self) -> list[GenerationFolder]:
        """What a killed or refused run left, newest first."""
        highest = self.pointer().highest
        return [b for b in self.unpublished() if NAME.fullmatch(b.name) and int(b.name) > highest]

    def next(self) -> GenerationFolder:
        highest = self.pointer().highest
        return self.generation(f"{highest + 1:06d}")

    def remove_unpublished(self) -> None:
        for building in self.unpublished():
            remove(building.path)

    @contextlib.contextmanager
    def writing(self, collection: str) -> Iterator[None]:
        """Raises StoreLocked naming the holder. A dead holder's lock is free: the system releases it."""
        try:
            require_room(self.path, 0, f"cannot write {collection!r}")
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / "writer.lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise StoreLocked(
                f"collection {collection!r} is being written by {self._holder()}; wait for it or stop it. "
                "Searches go on meanwhile"
            ) from error
        except OSError as error:
            raise StoreUnavailable(f"cannot write below {self.path}: {error.strerror}") from error
        try:
            self._say_who_holds()
            self._wait_for_orphan(collection)
            yield
        finally:
            (self.path / "writer.json").unlink(missing_ok=True)
            lock.release()

    def _say_who_holds(self) -> None:
        """For whoever comes second; a disk that takes no more is no reason not to go on."""
        holder = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
        with contextlib.suppress(OSError):
            (self.path / "writer.json").write_text(json.dumps(holder), encoding="utf-8")

    def _holder(self) -> str:
        try:
            holder = json.loads((self.path / "writer.json").read_text(encoding="utf-8"))
            return f"process {holder['pid']} since {holder['since']}"
        except (OSError, ValueError, KeyError):
            return "another process"

    def _wait_for_orphan(self, collection: str) -> None:
        """A killed writer's child may still build a search index."""
        try:
            with FileLock(self.path / "optimising.lock", timeout=ORPHAN_PATIENCE_S):
                pass
        except Timeout as error:
            raise StoreLocked(
                f"the search index of {collection!r} that a killed run began is still being built; try again later. "
                "Searches go on meanwhile"
            ) from error


def remove(path: Path) -> None:
    """Out of the way first: a kill in between leaves nothing that could be taken for a generation."""
    if path.suffix != REMOVED:
        target = path.with_suffix(REMOVED)
        shutil.rmtree(target, ignore_errors=True)
        path = path.rename(target)
    shutil.rmtree(path, ignore_errors=True)


def _boot() -> str:
    return BOOT.read_text(encoding="utf-8").strip() if BOOT.exists() else ""

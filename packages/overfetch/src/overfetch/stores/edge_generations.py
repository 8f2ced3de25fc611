"""The folder of one collection: published generations, one pointer, what a killed writer left, one writer's lock.

    CURRENT                       three lines: the live generation, the previous one, the highest ever published
    generations/NAME/shard/       a flushed Edge shard without a WAL
    generations/NAME/provenance.json
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
from typing import NamedTuple

from filelock import FileLock, Timeout

from overfetch.errors import OverfetchError, StoreLocked, StoreUnavailable
from overfetch.protocols import Copied
from overfetch.provenance import Provenance, is_same_work
from overfetch.stores.copying import copy_folder, sync

NOTHING = "-"
REMOVED = ".removed"
BOOT = Path("/proc/sys/kernel/random/boot_id")
ORPHAN_PATIENCE_S = 30.0


class Pointer(NamedTuple):
    """What CURRENT says; `highest` is the greatest number ever published."""

    live: str | None = None
    previous: str | None = None
    highest: int = 0


class GenerationFolder:
    """One generation, as files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.shard = path / "shard"
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
        _replace(self.path / "begun.json", json.dumps({"last": last.name if last else None, "boot": _boot()}))

    def can_go_on(self, last: "GenerationFolder | None", provenance: Provenance) -> bool:
        """Whether it began as a run with these would, under this boot: what a crash of the machine left is in doubt."""
        try:
            begun = json.loads((self.path / "begun.json").read_text(encoding="utf-8"))
            stored = self.read_provenance("")
        except (OSError, ValueError, OverfetchError):
            return False
        return is_same_work(stored, provenance) and begun == {"last": last.name if last else None, "boot": _boot()}

    def read_provenance(self, collection: str) -> Provenance:
        text = (self.path / "provenance.json").read_text(encoding="utf-8")
        return Provenance.stored(collection, json.loads(text))

    def write_provenance(self, provenance: Provenance) -> None:
        _replace(self.path / "provenance.json", provenance.model_dump_json(indent=1))

    def opening(self) -> FileLock:
        """Loading a shard replaces and removes small files of it, so one process at a time.

        Beside the generations: a lock inside would bring a removed one back.
        """
        return FileLock(self.path.parent.parent / "open.lock")

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
        try:
            lines = (self.path / "CURRENT").read_text(encoding="utf-8").split()
        except FileNotFoundError:
            return Pointer()
        live, previous, highest = lines if len(lines) == 3 else (lines[0], NOTHING, lines[0])  # schema 1 had one line
        return Pointer(live, None if previous == NOTHING else previous, int(highest))

    def point_at(self, live: str, previous: str | None) -> None:
        highest = max(int(live), self.pointer().highest)
        _replace(self.path / "CURRENT", f"{live}\n{previous or NOTHING}\n{highest:06d}\n")

    def unpublish(self) -> None:
        """No generation is live any more: a kill after this leaves what the next write clears away."""
        (self.path / "CURRENT").unlink(missing_ok=True)
        sync(self.path)

    def generation(self, name: str) -> GenerationFolder:
        return GenerationFolder(self.path / "generations" / name)

    def live(self) -> GenerationFolder | None:
        name = self.pointer().live
        return self.generation(name) if name else None

    def unpublished(self) -> list[GenerationFolder]:
        """What no pointer names, newest first: unfinished, or on its way out."""
        pointer = self.pointer()
        folder = self.path / "generations"
        names = sorted((path.name for path in folder.iterdir()), reverse=True) if folder.exists() else []
        return [self.generation(name) for name in names if name not in (pointer.live, pointer.previous)]

    def unfinished(self) -> list[GenerationFolder]:
        """What a killed or refused run left, newest first."""
        highest = self.pointer().highest
        return [b for b in self.unpublished() if b.name.isdigit() and int(b.name) > highest]

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
            holder = {"pid": os.getpid(), "since": datetime.now(UTC).isoformat(timespec="seconds")}
            (self.path / "writer.json").write_text(json.dumps(holder), encoding="utf-8")
            self._wait_for_orphan(collection)
            yield
        finally:
            (self.path / "writer.json").unlink(missing_ok=True)
            lock.release()

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


def _replace(path: Path, text: str) -> None:
    """The old content or the new, whenever the machine stops."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def _boot() -> str:
    return BOOT.read_text(encoding="utf-8").strip() if BOOT.exists() else ""

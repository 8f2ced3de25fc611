"""Copies a folder of the engine's files cheaply: by reflink where the file system can, else leaving holes out."""

import os
import shutil
import time
from pathlib import Path

from reflink_copy import reflink

from overfetch.protocols import Copied
from overfetch.stores.room import require_room

EMPTY = bytes(64 * 1024)
BLOCK = 512  # bytes that `st_blocks` counts in, whatever the file system


def copy_folder(source: Path, target: Path) -> Copied:
    """A copy, not yet durable."""
    began = time.monotonic()
    reflinked: list[bool] = []

    def copy_file(old: str, new: str) -> None:
        reflinked.append(_reflink(old, new))
        if not reflinked[-1]:
            require_room(target, size_in_blocks(old), f"cannot copy {source}")
            _copy_without_holes(old, new)

    shutil.copytree(source, target, copy_function=copy_file)
    return Copied(seconds=round(time.monotonic() - began, 3), bytes=size_of(target), reflinked=all(reflinked))


def size_of(folder: Path) -> int:
    """Bytes on the disk: holes take none. Small files that vanish meanwhile, as where a reader opens, are left out."""
    files = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)  # noqa: PTH118
    return sum(map(size_in_blocks, files))


def size_in_blocks(path: str) -> int:
    """Bytes on the disk; where the system does not tell blocks, as on Windows, all that the file holds."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except FileNotFoundError:
        return 0
    blocks: int | None = getattr(found, "st_blocks", None)
    return found.st_size if blocks is None else blocks * BLOCK


def make_durable(folder: Path) -> None:
    """Waits until every file and folder of the tree would survive a loss of power."""
    for place, _, files in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in files)):  # noqa: PTH118
            sync(path)


def sync(path: str | Path) -> None:
    """Waits until a file or folder would survive a loss of power."""
    if os.name == "nt" and Path(path).is_dir():  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reflink(source: str, target: str) -> bool:
    try:
        reflink(source, target)
    except OSError:
        return False
    return True


def _copy_without_holes(source: str, target: str) -> None:
    """The engine reserves 100 MB for the smallest collection, nearly all of it empty."""
    with Path(source).open("rb") as read, Path(target).open("wb") as write:
        while block := read.read(len(EMPTY)):
            if block == EMPTY:
                write.seek(len(EMPTY), os.SEEK_CUR)
            else:
                write.write(block)
        write.truncate()

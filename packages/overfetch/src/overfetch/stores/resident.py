"""Which pages of mapped files stay in a process: the engine reads its files whole as it opens them, holes and all."""

import contextlib
import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path

MAPS = Path("/proc/self/maps")  # of Linux; elsewhere nothing is let go


def let_go(folder: Path) -> None:
    """Drops the pages of all files mapped from below the folder: what is read again comes from the system's cache.

    A small collection's files are nearly all holes, some 60 MB of them. Nothing that was written is lost: only shared
    mappings are touched (madvise(2), MADV_DONTNEED).
    """
    with contextlib.suppress(OSError, AttributeError):
        advise = ctypes.CDLL(None, use_errno=True).madvise
        for start, length in _shared_mappings(folder.resolve()):
            advise(ctypes.c_void_p(start), ctypes.c_size_t(length), mmap.MADV_DONTNEED)


def _shared_mappings(folder: Path) -> Iterator[tuple[int, int]]:
    """Address and length in bytes of each."""
    for line in MAPS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        addresses, rights, _, _, _, *path = line.split(maxsplit=5)
        if path and rights.endswith("s") and Path(path[0]).is_relative_to(folder):
            start, end = (int(address, 16) for address in addresses.split("-"))
            yield start, end - start

"""Room on the disk: the engine writes through mapped files, and where the disk is full the system kills the process."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from overfetch.errors import StoreUnavailable
from overfetch.protocols import EncodedPassage

RESERVE = 4 * 1024 * 1024  # bytes: what opening, flushing and the small files beside the vectors take
OVERHEAD = 1024  # bytes of a passage's payload beside its texts
INDEX_PAGES = 96 * 1024 * 1024  # bytes: the engine fills pages of 32 MB where it builds a search index


def require_room(folder: Path, size: int, doing: str) -> None:
    """Raises StoreUnavailable unless so many bytes can be written below the folder, and some to spare."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free, wanted = shutil.disk_usage(there).free, size + RESERVE
    if free < wanted:
        raise StoreUnavailable(
            f"{doing}: {wanted:,} bytes are needed below {folder}, and {free:,} are free. What is live was not "
            "touched. Make room, or choose another place by OVERFETCH_QDRANT=file:PATH"
        )


def size_with_search_index(size: int) -> int:
    """Bytes that building it takes: it is built beside what it replaces, in whole pages."""
    return 2 * size + INDEX_PAGES


def size_in_store(passages: Sequence[EncodedPassage]) -> int:
    """Bytes at most: vectors twice, since they are also kept rounded, and texts in any script."""
    texts = sum(len(p.passage.text) + len(p.passage.breadcrumb) + len(p.passage.title) for p in passages)
    terms = sum(len(p.sparse.indices) for p in passages)
    return sum(2 * p.dense.nbytes for p in passages) + 16 * terms + 4 * texts + OVERHEAD * len(passages)

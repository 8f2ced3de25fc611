"""A copy for this process alone, of a shard that cannot be opened where it lies: the engine rewrites what it opens."""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

from overfetch.stores.copying import copy_folder

OWNER_ONLY = 0o700


def can_be_opened(shard: Path, lock: Path) -> bool:
    """Not on a read-only disk, nor by a user who may only read."""
    return all(os.access(path, os.W_OK) for path in (shard, shard / "edge_config.json", lock.parent))


class PrivateCopy:
    """In the system's folder for what is temporary; gone when nobody holds it any more."""

    def __init__(self, shard: Path) -> None:
        folder = Path(tempfile.mkdtemp(prefix="overfetch-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.shard = folder / "shard"
        copy_folder(shard, self.shard)
        for place, _, _ in os.walk(self.shard):
            Path(place).chmod(OWNER_ONLY)

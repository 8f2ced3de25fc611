"""The seal of a published generation: an id that no other has, whose it is, and what its files held.

Generations of earlier versions have none; they are served, and `overfetch status --verify` says so.
"""

import os
import uuid
from hashlib import blake2b
from pathlib import Path

from pydantic import Field, ValidationError

from overfetch.errors import StoreError
from overfetch.stores.copying import EMPTY
from overfetch.types import Frozen

SEAL = "sealed.json"
# The engine rewrites the one and drops the other whenever a shard is opened.
PASSING = ("edge_config.json", "_journal.dat")


class Seal(Frozen):
    """`files` are digests by path below the shard's folder."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    collection: str
    files: dict[str, str]


def make_seal(collection: str, shard: Path) -> Seal:
    """Of a shard that nobody writes any more."""
    return Seal(collection=collection, files={name: digest_of(shard / name) for name in _lasting(shard)})


def read_seal(generation: Path) -> Seal | None:
    """None where an earlier version wrote the generation. Raises StoreError where it is damaged."""
    try:
        return Seal.model_validate_json((generation / SEAL).read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise StoreError(f"{generation / SEAL} is damaged") from error


def find_damage(seal: Seal, shard: Path) -> str | None:
    """The first file that is missing or another than was sealed."""
    for name, digest in seal.files.items():
        path = shard / name
        if not path.is_file():
            return f"{path} is missing"
        if digest_of(path) != digest:
            return f"{path} is damaged: it holds something else than was published"
    return None


def digest_of(path: Path) -> str:
    """Of length and content; holes and zeros are the same, and cost next to nothing."""
    digest = blake2b(str(path.stat().st_size).encode(), digest_size=16)
    with path.open("rb") as file:
        place = 0
        while block := file.read(len(EMPTY)):
            if block != EMPTY:
                digest.update(place.to_bytes(8, "little") + block)
            place += len(block)
    return digest.hexdigest()


def _lasting(shard: Path) -> list[str]:
    files = (os.path.join(place, name) for place, _, names in os.walk(shard) for name in names)  # noqa: PTH118
    return sorted(os.path.relpath(path, shard) for path in files if not path.endswith(PASSING))

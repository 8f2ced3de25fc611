"""sha256 sums of model files."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from overfetch.errors import ModelMismatch
from overfetch.models import ModelSpec


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_sums(spec: ModelSpec, folder: Path, sums: Mapping[str, str]) -> None:
    """Raises ModelMismatch naming the first file that is missing or not the pinned one."""
    for name, expected in sums.items():
        if not (folder / name).is_file():
            raise ModelMismatch(f"{spec.name}: {folder / name} is missing")
        found = sha256(folder / name)
        if found != expected:
            raise ModelMismatch(f"{spec.name}: {folder / name} has sha256 {found}, pinned is {expected}")

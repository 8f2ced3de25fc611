"""Tuned rerankers on disk, one a collection: each says what it was tuned from, on what, and how it did.

SITE/COLLECTION/tuned.json      the record: what serves is what it names
SITE/COLLECTION/REVISION/       the files of that model, and of the one before it
SITE/COLLECTION/partial-*/      one being made (`overfetch.tuning.installing`)
"""

import hashlib
import shutil
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError

from overfetch.errors import ModelError, ModelMismatch
from overfetch.models import ModelSpec, Profile
from overfetch.types import Frozen

RECORD, GRAPH = "tuned.json", "model.onnx"


class TunedModel(Frozen):
    """An installed model; it serves only beside the embedder and in place of the reranker it was tuned from.

    `files` are sha256 sums by name; an earlier version kept none but the beginning of the graph's, as its revision.
    """

    spec: ModelSpec
    base: str
    embedder: str
    training: dict[str, Any]
    library_version: str
    files: dict[str, str] = Field(default_factory=dict)

    def holding(self, made: Path) -> Self:
        """With the sums of what was made for it."""
        return self.model_copy(
            update={"files": {path.name: _sha256(path) for path in made.iterdir() if path.is_file()}}
        )

    @property
    def sums(self) -> dict[str, str]:
        """sha256 sums of the files to load, or of earlier versions what is known of the graph's."""
        return self.files or {GRAPH: self.spec.revision}

    def fits(self, profile: Profile) -> bool:
        return self.base == profile.reranker.identity and profile.embedder.makes(self.embedder)


def tuned_folder(root: Path, collection: str) -> Path:
    """Of `SITE/COLLECTION` under `OVERFETCH_TUNED`."""
    return root / collection


def read_tuned(folder: Path) -> TunedModel | None:
    """The model installed there, if any. Raises ModelError where its record is damaged."""
    record = folder / RECORD
    if not record.exists():
        return None
    try:
        return TunedModel.model_validate_json(record.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ModelError(f"{record} is damaged: remove {folder} and tune again") from error


def model_folder(folder: Path, tuned: TunedModel) -> Path:
    """Where its files are: beside the record, where an older version of Overfetch put them, else below it."""
    own = folder / tuned.spec.revision
    return own if own.is_dir() else folder


def require_intact(folder: Path, tuned: TunedModel) -> None:
    """Raises ModelMismatch naming the first file that is missing or not the one that was installed."""
    for name, expected in tuned.sums.items():
        path = folder / name
        if not path.is_file() or not _sha256(path).startswith(expected):
            raise ModelMismatch(f"{path} is not the file that was installed: remove {folder} and tune again")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(folder: Path) -> bool:
    """Back to the profile's own reranker. False where nothing was installed."""
    was_installed = (folder / RECORD).exists()
    (folder / RECORD).unlink(missing_ok=True)  # first: files without a record serve nobody
    shutil.rmtree(folder, ignore_errors=True)
    return was_installed

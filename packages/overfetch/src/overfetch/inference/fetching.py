"""Download of a pinned model from the hub, checked against the sums that the hub publishes."""

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from overfetch.errors import ModelError
from overfetch.inference.checksums import require_sums
from overfetch.models import ModelSpec

PATTERNS = ["*.json", "*.txt", "sentencepiece.bpe.model", "model.safetensors", "?_*/model.safetensors"]
IGNORED = ["onnx/*", "openvino/*"]


def fetch(spec: ModelSpec, target: Path) -> None:
    """Makes `target` hold the pinned commit; the hub's client draws the progress bars.

    Raises ModelError where the hub is out of reach, ModelMismatch where a file arrived damaged.
    """
    try:
        info = HfApi().model_info(spec.repo, revision=spec.revision, files_metadata=True)
        snapshot_download(
            spec.repo, revision=spec.revision, local_dir=target, allow_patterns=PATTERNS, ignore_patterns=IGNORED
        )
    except Exception as error:  # the client's transport has changed its family of errors before
        raise ModelError(
            f"cannot fetch {spec.name} ({spec.repo} at {spec.revision}): the model hub is out of reach "
            f"({type(error).__name__}); offline alternative: --profile mini"
        ) from error
    published = {f.rfilename: f.lfs.sha256 for f in info.siblings or [] if f.lfs}
    require_sums(spec, target, {name: s for name, s in published.items() if (target / name).exists()} | spec.files)

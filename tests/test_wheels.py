"""What an installed package needs travels in its wheel: the pins, a new site, the sample corpora, the weights."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from overfetch.models import read_models
from overfetch.new_site import TEMPLATE, template_files

ROOT = Path(__file__).parents[1]
WEIGHTS = ROOT / "packages/overfetch-mini/src/overfetch_mini/weights"
READER = read_models()[0]["overfetch-reader"]
EXPECTED = {
    "overfetch": {
        "overfetch/models.toml": ROOT / "shared/models.toml",
        **{f"overfetch/site_template/{path.relative_to(TEMPLATE).as_posix()}": path for path in template_files()},
    },
    "overfetch-mini": {
        f"overfetch_mini/weights/{path.relative_to(WEIGHTS).as_posix()}": path
        for model in ("all-minilm-l6-v2", "mini", "mini-fast")
        for path in (WEIGHTS / model / name for name in ("config.json", "model.onnx", "tokenizer.json"))
    },
    "overfetch-reader": {
        f"overfetch_reader/{path}": ROOT / "packages/overfetch-reader/src/overfetch_reader" / path
        for path in (f"{READER.folder}/{name}" for name in READER.files)
    },
    "builddaily": {"builddaily/samples/sage-daily.md": ROOT / "shared/corpora/builddaily/sage-daily.md"},
    "paiddaily": {"paiddaily/samples/catalysts.jsonl": ROOT / "shared/corpora/paiddaily/catalysts.jsonl"},
    "sagedaily": {"sagedaily/samples/canon.jsonl": ROOT / "shared/corpora/sagedaily/canon.jsonl"},
}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="needs uv on the path to build wheels")
@pytest.mark.parametrize("member", EXPECTED)
def test_the_wheel_carries_its_data(member: str, tmp_path: Path) -> None:
    command = ["uv", "build", "--wheel", "--package", member, "--out-dir", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        for name, source in EXPECTED[member].items():
            assert wheel.read(name) == source.read_bytes()
        assert not [path for path in wheel.namelist() if "training/" in path]

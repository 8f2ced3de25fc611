"""The files that ship: the pinned ones, small, with nothing of the machine that made them."""

from pathlib import Path

import pytest

from overfetch.inference.checksums import require_sums
from overfetch.models import ModelSpec, find_profile, read_models

SPECS = [spec for spec in read_models()[0].values() if spec.package == "overfetch_mini"]
PACKAGE = Path(__file__).parents[2] / "packages/overfetch-mini/src/overfetch_mini"


def test_all_models_of_the_offline_profiles_ship() -> None:
    offline = [find_profile(name) for name in ("mini", "mini-fast")]
    assert {spec.name for spec in SPECS} == {
        s.name for profile in offline for s in (profile.embedder, profile.reranker)
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_weights_are_the_pinned_ones(spec: ModelSpec) -> None:
    folder = PACKAGE / spec.folder
    require_sums(spec, folder, spec.files)
    assert {path.name for path in folder.iterdir()} == set(spec.files)
    assert spec.revision == spec.files["model.onnx"][:12]
    assert b"site-packages" not in (folder / "model.onnx").read_bytes(), "a folder of the machine that made them"


def test_all_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in (PACKAGE / "weights").rglob("*") if path.is_file()) < 105e6

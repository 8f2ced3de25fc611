"""Turn a trained cross-encoder into the files that ship: an int8 ONNX graph and its tokenizer.

    uv run python packages/overfetch-mini/training/export.py --run FOLDER --groups GROUPS.jsonl

Prints the sha256 sums for shared/models.toml, and how much quantising changed scores on held-out groups.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from train import BASE, load

from overfetch.inference.checksums import sha256
from overfetch.inference.onnx import OnnxReranker
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.settings import read_models

WEIGHTS = Path(__file__).parent.parent / "src/overfetch_mini/weights"


def compare(exact: OnnxReranker, quantised: OnnxReranker, groups: Path) -> dict[str, float]:
    """Score change and ranking quality of both on the held-out groups."""
    with groups.open(encoding="utf-8") as lines:
        held_out = [g for g in map(json.loads, lines) if g["held_out"]][:200]
    scores = np.array(
        [
            [model.score(g["query"], [g["positive"], *g["negatives"][:5]]).logits for model in (exact, quantised)]
            for g in held_out
        ]
    )
    ranks = (scores > scores[:, :, :1]).sum(axis=2) + 1
    change = np.abs(scores[:, 0] - scores[:, 1])
    return {
        "groups": len(held_out),
        "mean score change": float(change.mean()),
        "largest score change": float(change.max()),
        "score deviation": float(scores[:, 0].std()),
        "MRR fp32": float((1 / ranks[:, 0]).mean()),
        "MRR int8": float((1 / ranks[:, 1]).mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--groups", type=Path, required=True)
    options = parser.parse_args()
    spec = read_models()[0]["overfetch-mini"]
    with tempfile.TemporaryDirectory() as folder:
        model, tokenizer = load(options.run), BASE / "tokenizer.json"
        export_exact(model, tokenizer, spec, Path(folder))
        export_int8(model, tokenizer, spec, WEIGHTS)
        measured = compare(OnnxReranker(Path(folder), spec), OnnxReranker(WEIGHTS, spec), options.groups)
        for name, value in measured.items():
            print(f"{name}: {value:.4g}")
    for path in sorted(WEIGHTS.iterdir()):
        print(f'"{path.name}" = "{sha256(path)}"  # {path.stat().st_size / 1e6:.1f} MB')


if __name__ == "__main__":
    main()

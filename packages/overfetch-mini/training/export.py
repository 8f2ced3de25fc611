"""Turn a trained cross-encoder into the files that ship: an int8 ONNX graph and its tokenizer.

    uv run python packages/overfetch-mini/training/export.py --run FOLDER --groups GROUPS.jsonl

Prints the sha256 sums for shared/models.toml, and how much quantising changed scores on held-out groups.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from train import BASE, load

from overfetch.inference.checksums import sha256
from overfetch.inference.export import Logits, export_module
from overfetch.inference.onnx import OnnxReranker
from overfetch.settings import ModelSpec, read_models

WEIGHTS = Path(__file__).parent.parent / "src/overfetch_mini/weights"


class RowQuantised(torch.nn.Module):
    """An embedding table in int8 with one scale a row: half of the model's bytes, at a tenth of the error of one scale.

    onnxruntime's own quantiser has a single scale for the whole table.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
        self.scale = torch.nn.Buffer(scale)
        self.table = torch.nn.Buffer(torch.round(weight / scale).to(torch.int8))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids].to(torch.float32) * self.scale[ids]


def write_graph(model: Any, spec: ModelSpec, folder: Path) -> Path:
    folder.mkdir(parents=True)
    export_module(Logits(model), BASE / "tokenizer.json", spec, folder)
    return folder / "model.onnx"


def quantise(graph: Path) -> None:
    """int8 matrix products; seven bits, since eight overflow on processors without VNNI."""
    WEIGHTS.mkdir(exist_ok=True)
    kinds = ["MatMul", "Gemm"]
    quantize_dynamic(
        graph,
        WEIGHTS / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        op_types_to_quantize=kinds,
    )
    shutil.copyfile(BASE / "tokenizer.json", WEIGHTS / "tokenizer.json")


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
        model = load(options.run)
        exact = write_graph(model, spec, Path(folder, "exact"))
        embeddings = model.bert.embeddings
        embeddings.word_embeddings = RowQuantised(embeddings.word_embeddings.weight.data)
        quantise(write_graph(model, spec, Path(folder, "small-table")))
        measured = compare(OnnxReranker(exact.parent, spec), OnnxReranker(WEIGHTS, spec), options.groups)
        for name, value in measured.items():
            print(f"{name}: {value:.4g}")
    for path in sorted(WEIGHTS.iterdir()):
        print(f'"{path.name}" = "{sha256(path)}"  # {path.stat().st_size / 1e6:.1f} MB')


if __name__ == "__main__":
    main()

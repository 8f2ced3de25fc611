"""A trained cross-encoder as the int8 graph that ships. Imports torch: only when exporting."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from overfetch.inference.export import Logits, export_module
from overfetch.settings import ModelSpec


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


def export_exact(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """`model.onnx` in float32, `tokenizer.json` and `config.json`. Raises ModelError as `export_module` does."""
    target.mkdir(parents=True, exist_ok=True)
    export_module(Logits(model), tokenizer, spec, target)
    model.config.architectures = [type(model).__name__]
    (target / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")


def export_int8(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """The same files with int8 matrix products; changes `model`: its embedding table becomes int8.

    Seven bits of the eight, since eight overflow on processors without VNNI.
    """
    embeddings = model.get_input_embeddings()
    model.set_input_embeddings(RowQuantised(embeddings.weight.data))
    export_exact(model, tokenizer, spec, target)
    with tempfile.TemporaryDirectory() as folder:
        graph, quantised = target / "model.onnx", Path(folder, "int8.onnx")
        quantize_dynamic(
            graph,
            quantised,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["MatMul", "Gemm"],
        )
        graph.write_bytes(quantised.read_bytes())

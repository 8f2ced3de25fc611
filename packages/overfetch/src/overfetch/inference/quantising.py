"""Models as graphs in the precision that their pin names. Imports torch: only when exporting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from overfetch.inference.export import export_module, load_model
from overfetch.inference.graphs import keep_in_half, keep_table_in_half
from overfetch.inference.int8_products import round_products
from overfetch.inference.rows import Rows, keep_in_rows
from overfetch.inference.tokenizing import Tokens
from overfetch.models import ModelSpec


class RowQuantised(torch.nn.Module):
    """An embedding table in int8 with one scale a row: half of the model's bytes, at a tenth of the error of one
    scale for the whole.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
        self.scale = torch.nn.Buffer(scale)
        self.table = torch.nn.Buffer(torch.round(weight / scale).to(torch.int8))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table[ids].to(torch.float32) * self.scale[ids]


def export(source: Path, spec: ModelSpec, target: Path) -> None:
    """The model of a transformers folder, as pinned. Raises ModelError as `export_module` does."""
    write = export_int8 if spec.precision == "int8" else export_exact
    write(load_model(source, spec), source / "tokenizer.json", spec, target)


def export_exact(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """`model.onnx` in float32, `tokenizer.json` and `config.json`. Raises ModelError as `export_module` does."""
    target.mkdir(parents=True, exist_ok=True)
    export_module(model, tokenizer, spec, target)
    model.config.architectures = [type(model).__name__]
    (target / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")


def export_int8(
    model: Any, tokenizer: Path, spec: ModelSpec, target: Path, samples: Sequence[Sequence[Tokens]] = ()
) -> None:
    """The same files with int8 products, rounded by what the model reads in `samples`; changes `model`: its embedding
    table becomes int8.
    """
    model.set_input_embeddings(RowQuantised(model.get_input_embeddings().weight.data))
    export_exact(model, tokenizer, spec, target)
    round_products(target / "model.onnx", samples)


def export_half(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """The same files with exact products of weights in float16, the embedding table's too: as near as half the bytes
    come.
    """
    export_exact(model, tokenizer, spec, target)
    keep_in_half(target / "model.onnx")
    keep_table_in_half(target / "model.onnx")


def export_in_rows(model: Any, rows: Mapping[str, Rows], tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """The same files with exact products of int8 matrices: `rows`, of which `model` was made, or `rows_of(model)`."""
    export_exact(model, tokenizer, spec, target)
    keep_in_rows(target / "model.onnx", rows)

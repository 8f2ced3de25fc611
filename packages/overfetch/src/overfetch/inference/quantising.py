"""Models as graphs in the precision that their pin names. Imports torch: only when exporting."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from overfetch.inference.export import export_module, load_model
from overfetch.inference.graphs import keep_in_half, keep_table_in_half, replace
from overfetch.inference.rows import Rows, keep_in_rows
from overfetch.models import ModelSpec


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


def export_int8(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """The same files with int8 matrix products; changes `model`: its embedding table becomes int8.

    Seven bits of the eight, since eight overflow on processors without VNNI. The products that end each feed-forward
    block stay in float32: what they read spreads too far for one scale, and made much of the error.
    """
    _round_embeddings(model)
    export_exact(model, tokenizer, spec, target)
    with tempfile.TemporaryDirectory(dir=target) as folder:  # with which it goes, should this run be killed
        graph, quantised = target / "model.onnx", Path(folder, "int8.onnx")
        with _without_advice():
            quantize_dynamic(
                graph,
                quantised,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=_feed_forward_ends(graph, model.config),
            )
        replace(onnx.load(quantised), graph)


def export_compact(model: Any, tokenizer: Path, spec: ModelSpec, target: Path) -> None:
    """The same files with exact products of weights in float16; changes `model` as `export_int8` does.

    No larger than int8 products make them, at a fraction of the error: those round what they read too.
    """
    _round_embeddings(model)
    export_exact(model, tokenizer, spec, target)
    keep_in_half(target / "model.onnx")


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


def _round_embeddings(model: Any) -> None:
    model.set_input_embeddings(RowQuantised(model.get_input_embeddings().weight.data))


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantiser speaks to the root logger, of a step that its graphs here do not need."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _feed_forward_ends(graph: Path, config: Any) -> list[str]:
    """The products by a weight of [hidden, intermediate], by the names that the quantiser gives them first."""
    loaded = onnx.load(graph).graph
    wanted = [config.hidden_size, config.intermediate_size]
    weights = {entry.name for entry in loaded.initializer if list(entry.dims) == wanted}
    return [f"{node.name}_MatMul" for node in loaded.node if node.op_type == "Gemm" and node.input[1] in weights]

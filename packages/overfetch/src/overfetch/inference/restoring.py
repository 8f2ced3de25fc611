"""A prepared cross-encoder as a torch model again, so that it can be trained further. Imports torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from transformers import AutoModelForSequenceClassification, BertConfig

from overfetch.errors import ModelError
from overfetch.inference.interaction import InteractionCrossEncoder
from overfetch.settings import ModelSpec

ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
LAYER = (*ATTENTION, "intermediate.dense", "output.dense")
PRODUCTS = ("MatMul", "MatMulInteger")

Arrays = dict[str, NDArray[Any]]


def restore(folder: Path, spec: ModelSpec) -> Any:
    """The classifier of a prepared folder: as the hub has it, or out of an int8 graph of `export_int8`.

    Raises ModelError where the graph is none of ours.
    """
    if not (folder / "model.onnx").exists():
        return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, local_files_only=True)
    try:
        config = BertConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        model = InteractionCrossEncoder(config)
        model.load_state_dict(_weights(onnx.load(folder / "model.onnx").graph, config.num_hidden_layers))
    except (OSError, LookupError, ValueError, RuntimeError) as error:
        raise ModelError(f"{spec.name} in {folder} cannot be trained further: {error}") from error
    return model


def _weights(graph: Any, layers: int) -> dict[str, torch.Tensor]:
    """Parameters by their names in torch: small ones as they are, matrices and the embedding table dequantised."""
    arrays: Arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    products = [node.input[1] for node in graph.node if node.op_type in PRODUCTS and node.input[1] in arrays]
    found = {
        name.removeprefix("classifier."): values
        for name, values in arrays.items()
        if name.startswith("classifier.") and not name.endswith("_ids")
    }
    for name, product in zip(_matrices(layers), products, strict=True):
        found[f"{name}.weight"] = _dequantised(arrays, product).T
    found["bert.embeddings.word_embeddings.weight"] = _embedding_table(arrays)
    return {name: torch.tensor(values) for name, values in found.items()}


def _dequantised(arrays: Arrays, product: str) -> NDArray[Any]:
    """The matrix of that name, times its scales where it is int8."""
    name, mark, _ = product.partition("_quantized")
    if not mark:
        return arrays[product]
    zero = arrays[f"{name}_zero_point"].astype(np.float32)
    exact: NDArray[np.float32] = (arrays[product].astype(np.float32) - zero) * arrays[f"{name}_scale"]
    return exact


def _matrices(layers: int) -> Iterator[str]:
    """Names of all weight matrices in the order in which a reading multiplies by them."""
    return (f"bert.encoder.layer.{layer}.{part}" for layer in range(layers) for part in LAYER)


def _embedding_table(arrays: Arrays) -> NDArray[np.float32]:
    """The largest int8 table times the scales of its rows."""
    table = max((a for a in arrays.values() if a.dtype == np.int8), key=lambda a: a.shape[0])
    scales = next(a for a in arrays.values() if a.dtype == np.float32 and a.shape == (table.shape[0], 1))
    exact: NDArray[np.float32] = table.astype(np.float32) * scales
    return exact

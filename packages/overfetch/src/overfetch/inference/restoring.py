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
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from overfetch.errors import ModelError
from overfetch.settings import ModelSpec

ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
LAYER = (*ATTENTION, "intermediate.dense", "output.dense")

Arrays = dict[str, NDArray[Any]]


def restore(folder: Path, spec: ModelSpec) -> Any:
    """The classifier of a prepared folder: as the hub has it, or out of an int8 graph of `export_int8`.

    Raises ModelError where the graph is none of ours.
    """
    if not (folder / "model.onnx").exists():
        return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, local_files_only=True)
    try:
        config = BertConfig(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
        model = BertForSequenceClassification(config)
        model.load_state_dict(_weights(onnx.load(folder / "model.onnx").graph, config.num_hidden_layers))
    except (OSError, LookupError, ValueError, RuntimeError) as error:
        raise ModelError(f"{spec.name} in {folder} cannot be trained further: {error}") from error
    return model


def _weights(graph: Any, layers: int) -> dict[str, torch.Tensor]:
    """Parameters by their names in torch: small ones as they are, matrices and the embedding table dequantised."""
    arrays: Arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    products = [node.input[1].removesuffix("_quantized") for node in graph.node if node.op_type == "MatMulInteger"]
    found = {
        name.removeprefix("classifier."): values
        for name, values in arrays.items()
        if name.endswith((".weight", ".bias"))
    }
    for name, product in zip(_matrices(layers), products, strict=True):
        zero = arrays[f"{product}_zero_point"].astype(np.float32)
        exact = (arrays[f"{product}_quantized"].astype(np.float32) - zero) * arrays[f"{product}_scale"]
        found[f"{name}.weight"] = exact.T
    found["bert.embeddings.word_embeddings.weight"] = _embedding_table(arrays)
    return {name: torch.tensor(values) for name, values in found.items()}


def _matrices(layers: int) -> Iterator[str]:
    """Names of all weight matrices in the order in which a reading multiplies by them."""
    for layer in range(layers):
        yield from (f"bert.encoder.layer.{layer}.{part}" for part in LAYER)
    yield from ("bert.pooler.dense", "classifier")


def _embedding_table(arrays: Arrays) -> NDArray[np.float32]:
    """The largest int8 table times the scales of its rows."""
    table = max((a for a in arrays.values() if a.dtype == np.int8), key=lambda a: a.shape[0])
    scales = next(a for a in arrays.values() if a.dtype == np.float32 and a.shape == (table.shape[0], 1))
    exact: NDArray[np.float32] = table.astype(np.float32) * scales
    return exact

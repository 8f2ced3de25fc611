"""A prepared cross-encoder as a torch model again, so that it can be trained further. Imports torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from overfetch.errors import ModelError
from overfetch.inference.export import load_model
from overfetch.inference.graphs import PARAMETER
from overfetch.inference.int8_products import EVENED, STEPS, exact_matrices
from overfetch.inference.interaction import InteractionCrossEncoder
from overfetch.inference.interaction_mpnet import MPNetInteractionCrossEncoder
from overfetch.inference.preparing import SOURCE
from overfetch.inference.rows import ROWS, SCALES, Rows, load_whole
from overfetch.models import ModelSpec

CLASSES: dict[str, Any] = {made.__name__: made for made in (InteractionCrossEncoder, MPNetInteractionCrossEncoder)}

Arrays = dict[str, NDArray[Any]]


def restore(folder: Path, spec: ModelSpec) -> Any:
    """The classifier of a prepared folder: as the hub has it, or a graph of `export_exact`, `export_int8` or
    `export_in_rows`.

    Raises ModelError where the graph is none of ours.
    """
    source = folder / SOURCE
    if source.exists():
        return load_model(source, spec)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        made = CLASSES[config["architectures"][0]]
        model = made(made.config_class(**config))
        model.load_state_dict(_weights(load_whole(folder / "model.onnx").graph))
    except (OSError, LookupError, ValueError, RuntimeError) as error:
        raise ModelError(f"{spec.name} in {folder} cannot be trained further: {error}") from error
    return model


def _weights(graph: Any) -> dict[str, torch.Tensor]:
    """Parameters by their names in torch, float32 again."""
    arrays: Arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    exact = {n: a for n, a in arrays.items() if a.dtype == np.float32 and not n.endswith((STEPS, EVENED))}
    named = {
        n.removeprefix(PARAMETER): a for n, a in (exact | exact_matrices(graph)).items() if n.startswith(PARAMETER)
    }
    if rows := [name.removesuffix(SCALES) for name in named if name.endswith(SCALES)]:
        named |= {name: Rows(arrays[PARAMETER + name + ROWS], named.pop(name + SCALES)).exact() for name in rows}
    else:
        named["bert.embeddings.word_embeddings.weight"] = _embedding_table(arrays)
    return {name: torch.tensor(values) for name, values in named.items()}


def _embedding_table(arrays: Arrays) -> NDArray[np.float32]:
    """The largest int8 table times the scales of its rows."""
    table = max((a for a in arrays.values() if a.dtype == np.int8), key=lambda a: a.shape[0])
    scales = next(a for a in arrays.values() if a.dtype == np.float32 and a.shape == (table.shape[0], 1))
    exact: NDArray[np.float32] = table.astype(np.float32) * scales
    return exact

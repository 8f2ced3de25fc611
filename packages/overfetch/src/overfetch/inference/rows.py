"""Matrices of a graph as int8 rows with one scale each, in files of a size that git hosts take.

onnxruntime makes them float32 again when it loads the graph (`session_options` asks it to): products are exact, only
the weights are rounded.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, set_external_data, uses_external_data

from overfetch.inference.graphs import PARAMETER, largest_lookup, replace, set_nodes

ROWS, SCALES = "_rows", "_scales"
PART_BYTES = 58_000_000


class Rows(NamedTuple):
    """int8 [outputs, inputs], float32 [outputs, 1]."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def of(cls, matrix: NDArray[np.float32]) -> "Rows":
        scales = np.abs(matrix).max(axis=1, keepdims=True).clip(min=1e-8) / np.float32(127)
        return cls(np.round(matrix / scales).astype(np.int8), scales)

    def exact(self) -> NDArray[np.float32]:
        return self.values.astype(np.float32) * self.scales


def rows_of(model: Any) -> dict[str, Rows]:
    """Of a torch model's matrices, by their parameters' names."""
    matrices = ((name, values) for name, values in model.named_parameters() if values.dim() == 2)
    return {name: Rows.of(values.detach().cpu().numpy()) for name, values in matrices}


def keep_in_rows(path: Path, rows: Mapping[str, Rows]) -> None:
    """The parameters of those names as those rows, in `weights-*.bin` beside the graph.

    The table of words stays int8 in memory: a run makes float32 of those rows that it reads.
    """
    model = onnx.load(path)
    graph = model.graph
    kept = {PARAMETER + name: values for name, values in rows.items()}
    words = largest_lookup(graph).input[0]
    nodes: list[Any] = []
    for entry in [entry for entry in graph.initializer if entry.name in kept]:
        graph.initializer.remove(entry)
        graph.initializer.extend(_stored(entry.name, kept[entry.name]))
        nodes += [] if entry.name == words else _restored(entry.name)
    for node in graph.node:
        nodes += _looked_up(node) if words in node.input else [node]
    set_nodes(graph, nodes)
    _spread(graph, path.parent)
    replace(model, path)


def load_whole(path: Path) -> Any:
    """A graph with what lies beside it, hard links too, as uv installs them: onnx itself refuses those."""
    model = onnx.load(path, load_external_data=False)
    for entry in filter(uses_external_data, model.graph.initializer):
        place = ExternalDataInfo(entry)
        with (path.parent / place.location).open("rb") as file:
            file.seek(place.offset or 0)
            entry.raw_data = file.read(place.length)
        entry.data_location = TensorProto.DEFAULT
    return model


def _stored(name: str, rows: Rows) -> list[Any]:
    return [numpy_helper.from_array(rows.values, name + ROWS), numpy_helper.from_array(rows.scales, name + SCALES)]


def _restored(name: str) -> list[Any]:
    """One node makes each matrix: of a cast and a product, loading would hold both results."""
    scales = f"{name}_scale"
    return [
        helper.make_node("Squeeze", [name + SCALES], [scales]),
        helper.make_node("DequantizeLinear", [name + ROWS, scales], [name], axis=0),
    ]


def _looked_up(node: Any) -> list[Any]:
    table, places, found = node.input[0], node.input[1], node.output[0]
    return [
        *(helper.make_node("Gather", [table + part, places], [found + part]) for part in (ROWS, SCALES)),
        helper.make_node("Cast", [found + ROWS], [f"{found}_whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{found}_whole", found + SCALES], [found]),
    ]


def _spread(graph: Any, folder: Path) -> None:
    """Over files of at most PART_BYTES, written when the graph is saved."""
    for stale in folder.glob("weights-*.bin"):
        stale.unlink()
    number = filled = 0
    for entry in (entry for entry in graph.initializer if entry.name.endswith(ROWS)):
        if filled and filled + len(entry.raw_data) > PART_BYTES:
            number, filled = number + 1, 0
        set_external_data(entry, f"weights-{number}.bin")
        filled += len(entry.raw_data)

"""What is done to an exported graph: no traces of this machine, no masks where nothing is masked, small files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PARAMETER = "model."  # what the export puts before a parameter's name
HALF = "_half"
CHOSEN = "_chosen"
UNBIASED = 5  # inputs of attention: query, key, value, their bias, lengths


def strip_traces(model: onnx.ModelProto) -> None:
    """Removes what the exporter notes about its source: stack traces that name folders of this machine."""
    graph = model.graph
    for noted in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del noted.metadata_props[:]
        noted.doc_string = ""


def attend_unmasked_alone(model: onnx.ModelProto) -> None:
    """A sequence that runs alone has no padding to mask, and without a mask onnxruntime's kernel is the one that never
    holds a matrix of tokens by tokens: of 8,192 tokens that would be 256 MiB for each head. With a bias it always does.
    """
    graph = model.graph
    if not any(_is_unbiased(node) for node in graph.node):
        return
    graph.initializer.append(helper.make_tensor("one", TensorProto.INT64, [], [1]))
    nodes = [
        helper.make_node("Size", ["lengths"], ["sequences"]),
        helper.make_node("Equal", ["sequences", "one"], ["alone"]),
    ]
    for node in graph.node:
        nodes.append(_chosen(node) if _is_unbiased(node) else node)
    set_nodes(graph, nodes)


def attend_masked(model: onnx.ModelProto) -> None:
    """Takes back what `attend_unmasked_alone` did."""
    nodes = []
    for node in model.graph.node:
        chosen = node.attribute if node.name.endswith(CHOSEN) else ()
        masked = next((branch.g.node[0] for branch in chosen if branch.name == "else_branch"), None)
        if masked is not None:
            masked.output[0] = node.output[0]
        nodes.append(node if masked is None else masked)
    kept = [node for node in nodes if node.output[0] not in ("sequences", "alone")]
    set_nodes(model.graph, kept)
    for entry in [entry for entry in model.graph.initializer if entry.name == "one"]:
        model.graph.initializer.remove(entry)


def _is_unbiased(node: Any) -> bool:
    return node.op_type == "MultiHeadAttention" and len(node.input) <= UNBIASED


def _chosen(node: Any) -> Any:
    branches = {"then_branch": _branch(node, node.input[:3]), "else_branch": _branch(node, node.input)}
    return helper.make_node("If", ["alone"], list(node.output), name=node.name + CHOSEN, **branches)


def _branch(node: Any, inputs: Any) -> Any:
    own = onnx.NodeProto()
    own.CopyFrom(node)
    del own.input[:]
    own.input.extend(inputs)
    own.output[0] += f"_of_{len(inputs)}"
    return helper.make_graph(
        [own], own.output[0], [], [helper.make_tensor_value_info(own.output[0], TensorProto.FLOAT, None)]
    )


def keep_in_half(path: Path) -> None:
    """The matrices of the linear layers in float16, half of their bytes.

    onnxruntime makes them float32 again when it loads the file: products are exact, only the weights are rounded.
    """
    model = onnx.load(path)
    graph = model.graph
    tensors = {entry.name for entry in graph.initializer}
    restored = []
    for name in [node.input[1] for node in graph.node if node.op_type == "Gemm" and node.input[1] in tensors]:
        restored.append(helper.make_node("Cast", [_halve(graph, name)], [name], to=TensorProto.FLOAT))
    set_nodes(graph, [*restored, *graph.node])
    replace(model, path)


def keep_table_in_half(path: Path) -> None:
    """The embedding table in float16, in memory too: a run makes float32 of those rows that it reads."""
    model = onnx.load(path)
    graph = model.graph
    read = largest_lookup(graph)
    found = read.output[0]
    read.input[0] = _halve(graph, read.input[0])
    read.output[0] = found + HALF
    cast = helper.make_node("Cast", [found + HALF], [found], to=TensorProto.FLOAT)
    place = list(graph.node).index(read)
    set_nodes(graph, [*graph.node[: place + 1], cast, *graph.node[place + 1 :]])
    replace(model, path)


def largest_lookup(graph: Any) -> Any:
    """The node that reads the embedding table."""
    sizes = {entry.name: math.prod(entry.dims) for entry in graph.initializer}
    lookups = [node for node in graph.node if node.op_type == "Gather" and node.input[0] in sizes]
    return max(lookups, key=lambda node: sizes[node.input[0]])


def _halve(graph: Any, name: str) -> str:
    """Keeps that tensor in float16, under the name that it returns."""
    exact = next(entry for entry in graph.initializer if entry.name == name)
    half = numpy_helper.to_array(exact).astype(np.float16)
    graph.initializer.remove(exact)
    graph.initializer.append(numpy_helper.from_array(half, name + HALF))
    return name + HALF


def set_nodes(graph: Any, nodes: list[Any]) -> None:
    """In place of those that the graph has."""
    del graph.node[:]
    graph.node.extend(nodes)


def replace(model: Any, path: Path) -> None:
    """One file in the place of a graph that may have kept its weights in others, which nothing refers to any more."""
    onnx.save(model, path)
    for stale in path.parent.glob(f"{path.name}.*"):
        stale.unlink()

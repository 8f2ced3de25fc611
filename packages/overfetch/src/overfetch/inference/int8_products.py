"""Linear layers as products of int8 by int8, each token with a scale of its own: nothing hangs on what else is read.

Scales of activations are found as they come. The weights are rounded once, with samples at hand of what they will be
multiplied with: outlying channels are evened out between both (SmoothQuant, Xiao et al. 2022, arXiv 2211.10438), and
what rounding one weight breaks, those after it mend (GPTQ, Frantar et al. 2022, arXiv 2210.17323).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from overfetch.inference.graphs import attend_masked, replace, set_nodes
from overfetch.inference.onnx import SLOWER, lay_out, session_options
from overfetch.inference.tokenizing import Tokens

MATRIX, STEPS, EVENED = "_int8", "_steps", "_evened"
READ = "_read"  # of what a layer reads, by the name of the first matrix that it is multiplied with
CONTRIB = "com.microsoft"
# Of a weight seven bits, of what is read eight: products of two eights overflow on processors without VNNI.
WEIGHT_STEPS, READ_STEPS, ZERO = 63, 127, 128
SHARE = 0.6  # of an outlying channel's size that goes over to the weights, as an exponent
DAMPING, BLOCK = 0.01, 128  # GPTQ's: of the mean diagonal; columns whose errors are handed on together

Floats = NDArray[np.float32]


class Product(NamedTuple):
    """Activations `read` [tokens, inputs] times a named matrix [outputs, inputs]."""

    node: Any
    read: str
    name: str
    matrix: Floats


class Seen(NamedTuple):
    """Over samples of what a layer reads: each input's largest size [inputs], and the inputs' products [inputs] * 2."""

    sizes: Floats
    products: Floats


def round_products(path: Path, samples: Sequence[Sequence[Tokens]] = ()) -> None:
    """The graph with int8 products in the place of its linear layers; without samples each weight is just rounded.

    A sequence alone attends as it does beside others: a difference in the last digit would move a rounding.
    """
    model = onnx.load(path)
    attend_masked(model)
    graph = model.graph
    layers = dict[str, list[Product]]()
    for product in _products(graph):
        layers.setdefault(product.read, []).append(product)
    seen = _look(model, list(layers), samples) if samples else {}
    made = dict[str, list[Any]]()
    for read, own in layers.items():
        made |= _rounded(graph, own, seen.get(read))
    set_nodes(graph, [new for node in graph.node for new in made.get(node.output[0], [node])])
    exact = {product.name for own in layers.values() for product in own}
    for entry in [entry for entry in graph.initializer if entry.name in exact]:
        graph.initializer.remove(entry)
    graph.initializer.extend(_constants())
    if CONTRIB not in {own.domain for own in model.opset_import}:
        model.opset_import.append(helper.make_opsetid(CONTRIB, 1))
    replace(model, path)


def exact_matrices(graph: Any) -> dict[str, Floats]:
    """The matrices of such a graph [outputs, inputs] by their names, float32 again."""
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in graph.initializer}
    found = dict[str, Floats]()
    for node in graph.node:
        if node.op_type == "MatMulIntegerToFloat":
            name, first = node.input[1].removesuffix(MATRIX), node.input[0].removesuffix(READ)
            rows = arrays[name + MATRIX].T.astype(np.float32) * arrays[name + STEPS][:, None]
            found[name] = rows * arrays[first + EVENED]
    return found


def _products(graph: Any) -> list[Product]:
    arrays = {entry.name: entry for entry in graph.initializer if len(entry.dims) == 2}
    transposed = helper.make_attribute("transB", 1)
    linear = [n for n in graph.node if n.op_type == "Gemm" and n.input[1] in arrays and transposed in n.attribute]
    return [Product(n, n.input[0], n.input[1], numpy_helper.to_array(arrays[n.input[1]])) for n in linear]


def _look(model: Any, reads: Sequence[str], samples: Sequence[Sequence[Tokens]]) -> dict[str, Seen]:
    """What the exact graph reads, run by run."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in reads)
    session = onnxruntime.InferenceSession(
        watched.SerializeToString(), session_options(0), ["CPUExecutionProvider"], disabled_optimizers=SLOWER
    )
    seen = dict[str, Seen]()
    for sample in samples:
        for name, values in zip(reads, session.run(list(reads), lay_out(sample)), strict=True):
            sizes, products = np.abs(values).max(0), values.T @ values
            before = seen.get(name, Seen(np.zeros_like(sizes), np.zeros_like(products)))
            seen[name] = Seen(np.maximum(before.sizes, sizes), before.products + products)
    return seen


def _rounded(graph: Any, layer: Sequence[Product], seen: Seen | None) -> dict[str, list[Any]]:
    """Of a layer whose products read the same: what takes the place of each node, by what that put out."""
    first = layer[0].name
    shares = _shares([product.matrix for product in layer], seen)
    tensors: dict[str, NDArray[Any]] = {first + EVENED: 1 / shares}
    made = {}
    for product in layer:
        products = None if seen is None else seen.products / np.outer(shares, shares)
        values, steps = round_matrix(product.matrix * shares, products)
        tensors |= {product.name + MATRIX: np.ascontiguousarray(values.T), product.name + STEPS: steps}
        made[product.node.output[0]] = _multiplied(product, first)
    made[layer[0].node.output[0]][:0] = _read(layer[0].read, first)
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in tensors.items())
    return made


def _shares(matrices: Sequence[Floats], seen: Seen | None) -> Floats:
    """By which activations are divided and weights multiplied, [inputs]."""
    weights = np.abs(np.concatenate(matrices)).max(0)
    if seen is None:
        return np.ones_like(weights)
    shares: Floats = seen.sizes.clip(1e-3) ** SHARE / weights.clip(1e-4) ** (1 - SHARE)
    return shares


def round_matrix(matrix: Floats, products: Floats | None = None) -> tuple[NDArray[np.int8], Floats]:
    """int8 [outputs, inputs] and the step of each output [outputs]; with `products` of the inputs as GPTQ rounds."""
    steps = (np.abs(matrix).max(1) / np.float32(WEIGHT_STEPS)).clip(1e-8)
    if products is None:
        return np.round(matrix / steps[:, None]).astype(np.int8), steps
    inputs = len(products)
    order = np.argsort(-np.diag(products))  # what is read most first: its errors have most to be mended by
    damped = products[np.ix_(order, order)].astype(np.float64)
    damped[np.diag_indices(inputs)] += DAMPING * np.diag(damped).mean()
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, rounded = matrix[:, order].astype(np.float64), np.zeros(matrix.shape, np.int8)
    for start in range(0, inputs, BLOCK):
        end = min(start + BLOCK, inputs)
        errors = np.zeros((len(matrix), end - start))
        for at in range(start, end):
            whole = np.round(left[:, at] / steps).clip(-WEIGHT_STEPS, WEIGHT_STEPS)
            rounded[:, order[at]] = whole
            errors[:, at - start] = (left[:, at] - whole * steps) / factor[at, at]
            left[:, at:end] -= np.outer(errors[:, at - start], factor[at, at:end])
        left[:, end:] -= errors @ factor[start:end, end:]
    return rounded, steps


def _read(read: str, first: str) -> list[Any]:
    """Evened out, and in int8 steps of the token's own largest."""
    part = {name: f"{first}_{name}" for name in ("even", "size", "most", "whole", "scale", "own", "tokens", "zero")}
    return [
        helper.make_node("Mul", [read, first + EVENED], [part["even"]]),
        helper.make_node("Abs", [part["even"]], [part["size"]]),
        helper.make_node("ReduceMax", [part["size"], "int8_last"], [part["most"]], keepdims=1),
        helper.make_node("Mul", [part["most"], "int8_part"], [part["whole"]]),
        helper.make_node("Max", [part["whole"], "int8_least"], [part["scale"]]),
        helper.make_node("Squeeze", [part["scale"], "int8_last"], [part["own"]]),
        helper.make_node("Shape", [part["own"]], [part["tokens"]]),
        helper.make_node("Expand", ["int8_zero", part["tokens"]], [part["zero"]]),
        helper.make_node("QuantizeLinear", [part["even"], part["own"], part["zero"]], [first + READ], axis=0),
    ]


def _multiplied(product: Product, first: str) -> list[Any]:
    """The int32 product in float32, times the token's scale, and what the node added."""
    name, found = product.name, product.node.output[0]
    whole = [first + READ, name + MATRIX, "int8_one", name + STEPS, "int8_zero"]
    bias = list(product.node.input[2:])
    scaled = f"{name}_scaled" if bias else found
    return [
        helper.make_node("MatMulIntegerToFloat", whole, [f"{name}_product"], domain=CONTRIB),
        helper.make_node("Mul", [f"{name}_product", f"{first}_scale"], [scaled]),
        *([helper.make_node("Add", [scaled, *bias], [found])] if bias else []),
    ]


def _constants() -> list[Any]:
    values: Mapping[str, Any] = {
        "int8_last": np.array([-1], np.int64),
        "int8_part": np.float32(1 / READ_STEPS),
        "int8_least": np.float32(1e-8),
        "int8_zero": np.uint8(ZERO),
        "int8_one": np.float32(1),
    }
    return [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]

"""What the machine can do at best, measured: dense float32 products of the sizes that an encoder asks for."""

import time
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper

from overfetch.inference.onnx import session_options

ROUNDS, TOKENS, SEED = 7, 2742, 7


def flops(config: Any, lengths: list[int]) -> float:
    """Floating point operations of the encoder's products over sequences of these lengths (a multiplication and an
    addition count as two): the linear layers, and attention within each sequence."""
    width: int = config.hidden_size
    inner: int = config.intermediate_size
    layers: int = config.num_hidden_layers
    linear = sum(lengths) * (4 * width**2 + 2 * width * inner)
    attention = 2 * width * sum(length**2 for length in lengths)
    return 2.0 * layers * (linear + attention)


def measure_gemm(config: Any, threads: int) -> float:
    """Operations a second over the products of one layer and TOKENS tokens: the best of torch and onnxruntime."""
    width: int = config.hidden_size
    inner: int = config.intermediate_size
    shapes = [(width, width)] * 4 + [(width, inner), (inner, width)]
    work = sum(2.0 * TOKENS * rows * columns for rows, columns in shapes)
    return max(work / sum(timer(*shape, threads) for shape in shapes) for timer in (_torch_seconds, _onnx_seconds))


def _torch_seconds(rows: int, columns: int, threads: int) -> float:
    torch.set_num_threads(threads)
    left, right = torch.randn(TOKENS, rows), torch.randn(rows, columns)
    return _median_seconds(lambda: torch.mm(left, right))


def _onnx_seconds(rows: int, columns: int, threads: int) -> float:
    draw = np.random.default_rng(SEED)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [rows, columns], draw.random(rows * columns, np.float32))
    left = helper.make_tensor_value_info("x", TensorProto.FLOAT, [TOKENS, rows])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [TOKENS, columns])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "product", [left], [out], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), session_options(threads))
    values = draw.random((TOKENS, rows), np.float32)
    return _median_seconds(lambda: session.run(None, {"x": values}))


def _median_seconds(product: Any) -> float:
    product()
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        product()
        spent.append(time.perf_counter() - began)
    return median(spent)

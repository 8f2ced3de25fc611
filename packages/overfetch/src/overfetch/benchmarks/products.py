"""The matrix products of one encoder layer, as fast as this process can do them on every core."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import helper

from overfetch.benchmarks.passages import MEAN_TOKENS
from overfetch.benchmarks.shares import widened
from overfetch.inference.onnx import session_options

PIECES, SEED = 20, 7

Run = Callable[[], object]


class Product(NamedTuple):
    """[tokens, rows] by [rows, columns]."""

    rows: int
    columns: int


def layer_products(config: Any) -> list[Product]:
    """Query, key, value and output of attention, and those of the feed-forward block, which ends with the last."""
    width, inner = config.hidden_size, config.intermediate_size
    return [Product(width, width)] * 4 + [Product(width, inner)] * widened(config) + [Product(inner, width)]


def pieces(threads: int) -> int:
    """As many for each thread: no fewer than PIECES in all."""
    return threads * -(-PIECES // threads)


def torch_products(products: Sequence[Product], threads: int) -> Run:
    """All tokens as one matrix, split by torch; into memory that is there already, as with the others."""
    tokens = pieces(threads) * MEAN_TOKENS
    operands = [
        (torch.randn(tokens, p.rows), torch.randn(p.rows, p.columns), torch.empty(tokens, p.columns)) for p in products
    ]

    def run() -> None:
        for left, right, out in operands:
            torch.mm(left, right, out=out)

    return run


def exact_products(products: Sequence[Product], threads: int) -> Run:
    """onnxruntime, a piece of MEAN_TOKENS at a time on each core: as the rerankers of this project run."""
    graph = Graph()
    for product in products:
        graph.add("MatMul", [graph.tokens(product.rows, np.float32), graph.weight(product, np.float32)])
    return graph.on_every_core(threads)


def integer_products(products: Sequence[Product], threads: int) -> Run:
    """The same of uint8 tokens by int8 weights into int32, without what quantises and scales them."""
    graph = Graph()
    for product in products:
        operands = [graph.tokens(product.rows, np.uint8), graph.weight(product, np.int8)]
        graph.add("MatMulInteger", [*operands, graph.constant(np.array(128, np.uint8))])
    return graph.on_every_core(threads)


def quantising(widths: Sequence[int], threads: int) -> Run:
    """Finding scale and zero point of float32 tokens and rounding them to uint8."""
    graph = Graph()
    for width in widths:
        graph.add("DynamicQuantizeLinear", [graph.tokens(width, np.float32)], outputs=3)
    return graph.on_every_core(threads)


class Graph:
    """Operators side by side, in one session."""

    def __init__(self) -> None:
        self._draw = np.random.default_rng(SEED)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: dict[str, Any] = {}
        self._feeds: dict[str, NDArray[Any]] = {}

    def tokens(self, width: int, kind: type[Any]) -> str:
        name = f"tokens_{width}"
        if name not in self._inputs:
            element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
            self._inputs[name] = helper.make_tensor_value_info(name, element, [MEAN_TOKENS, width])
            self._feeds[name] = self._numbers((MEAN_TOKENS, width), kind)
        return name

    def weight(self, product: Product, kind: type[Any]) -> str:
        return self.constant(self._numbers(product, kind))

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        element = helper.np_dtype_to_tensor_dtype(values.dtype)
        self._constants.append(helper.make_tensor(name, element, values.shape, values.tobytes(), raw=True))
        return name

    def add(self, operator: str, operands: Sequence[str], outputs: int = 1) -> None:
        place = len(self._nodes)
        self._nodes.append(helper.make_node(operator, operands, [f"out_{place}_{i}" for i in range(outputs)]))

    def on_every_core(self, threads: int) -> Run:
        """All pieces once, by so many threads, each with memory of its own that is used again."""
        session = onnxruntime.InferenceSession(self._serialised(), session_options(threads=1))
        free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(threads):
            free.put(_bound(session, self._feeds))
        pool = ThreadPoolExecutor(threads)

        def piece(_: int) -> None:
            binding = free.get()
            session.run_with_iobinding(binding)
            free.put(binding)

        return lambda: list(pool.map(piece, range(pieces(threads))))

    def _serialised(self) -> bytes:
        names = [name for node in self._nodes for name in node.output]
        outputs = [helper.make_empty_tensor_value_info(name) for name in names]  # onnxruntime infers the types
        graph = helper.make_graph(self._nodes, "products", list(self._inputs.values()), outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        serialised: bytes = model.SerializeToString()
        return serialised

    def _numbers(self, shape: tuple[int, ...], kind: type[Any]) -> NDArray[Any]:
        """Within what seven bits hold, as the int8 graphs' weights are."""
        drawn = self._draw.random(shape, np.float32) - 0.5
        return drawn if kind is np.float32 else (127 * drawn + (128 if kind is np.uint8 else 0)).astype(kind)


def _bound(session: Any, feeds: Mapping[str, NDArray[Any]]) -> Any:
    binding = session.io_binding()
    for name, values in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(values))
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return binding

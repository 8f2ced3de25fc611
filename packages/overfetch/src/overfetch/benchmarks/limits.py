"""What the machine can do at best, measured beside every row: dense products of the sizes that an encoder asks for."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from overfetch.benchmarks.passages import MEAN_TOKENS
from overfetch.benchmarks.products import (
    Product,
    Run,
    exact_products,
    integer_products,
    layer_products,
    pieces,
    quantising,
    torch_products,
)
from overfetch.benchmarks.shares import Pace

TRIES = 5


class Limits:
    """The products of one layer, ready to be timed.

    float32 by whichever of torch and onnxruntime is faster here; numpy's products have threads that nobody can count.
    int8 by MatMulInteger, the product within the MatMulIntegerToFloat of int8 graphs. Rounding what they read (once for
    query, key and value, once each for the others) is no product, and timed apart: int8 graphs cannot do without it.
    """

    def __init__(self, config: Any, threads: int) -> None:
        products = layer_products(config)
        width = config.hidden_size
        exact = {"torch": torch_products(products, threads), "onnxruntime": exact_products(products, threads)}
        self.fp32_library = fastest(exact)
        self._exact = exact[self.fp32_library]
        self._rounded = integer_products(products, threads)
        self._quantising = quantising([width] * 3 + [config.intermediate_size], threads)
        tokens = pieces(threads) * MEAN_TOKENS
        self._work = _work(products, tokens)

    def pace(self) -> Pace:
        """That of this moment. What matters least goes first, while threads of the row before may still spin."""
        quantising, int8, fp32 = (seconds(run) for run in (self._quantising, self._rounded, self._exact))
        return Pace(fp32 / self._work, int8 / self._work, quantising / self._work)


def fastest(runs: Mapping[str, Run]) -> str:
    """By the best of TRIES in turn: whatever else the machine does only adds to the others."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(TRIES):
        for name, run in runs.items():
            best[name] = min(best[name], seconds(run))
    return min(best, key=best.__getitem__)


def seconds(run: Run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _work(products: Sequence[Product], tokens: int) -> float:
    return sum(2.0 * tokens * product.rows * product.columns for product in products)

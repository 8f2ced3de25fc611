"""What a row reaches of the machine's limit, and why that may be more than the limit."""

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

from overfetch.types import Frozen

NOISE = 1.02
UNSTEADY = "the machine was slower while the limit was taken"


class Operations(NamedTuple):
    """Of products, by the precision of their operands; a multiplication and an addition count as two."""

    fp32: float
    int8: float = 0.0


class Pace(NamedTuple):
    """Seconds that an operation takes at best. `quantising`: that rounding its operands adds for one in int8."""

    fp32: float
    int8: float
    quantising: float

    def seconds(self, operations: Operations) -> float:
        return operations.fp32 * self.fp32 + operations.int8 * self.int8


def operations(config: Any, lengths: Sequence[int], *, int8: bool = False, first_only: bool = False) -> Operations:
    """Of an encoder over sequences of these lengths: the linear layers, and attention within each sequence.

    `int8` as `export_int8` rounds: the linear layers, not attention. `first_only`: the last layer for the first token
    of each sequence, as `overfetch.inference.packing` computes it.
    """
    read = [1] * len(lengths) if first_only else lengths
    windows = _windows(config)
    layers = [_layer(config, lengths, lengths, window) for window in windows[:-1]]
    layers.append(_layer(config, lengths, read, windows[-1]))
    rounded, exact = (2.0 * sum(counted) for counted in zip(*layers, strict=True))
    return Operations(exact, rounded) if int8 else Operations(rounded + exact)


def widened(config: Any) -> int:
    """Products of a feed-forward block before the one that ends it: ModernBERT has a second one, for its gate."""
    return 2 if getattr(config, "model_type", None) == "modernbert" else 1


def _windows(config: Any) -> list[int | None]:
    """Of each layer, how far to each side a token sees; None: all of its sequence."""
    if getattr(config, "model_type", None) != "modernbert":
        return [None] * config.num_hidden_layers
    return [config.sliding_window if kind == "sliding_attention" else None for kind in config.layer_types]


def _layer(config: Any, lengths: Sequence[int], read: Sequence[int], window: int | None) -> tuple[int, int]:
    """Multiplications that int8 graphs round, and the others, where so many tokens of each sequence are read."""
    width, inner = config.hidden_size, config.intermediate_size
    keys_and_values = 2 * width**2 * sum(lengths)
    attention = 2 * width * sum(_pairs(r, length, window) for r, length in zip(read, lengths, strict=True))
    linear = keys_and_values + (2 * width**2 + (widened(config) + 1) * width * inner) * sum(read)
    return linear, attention


def _pairs(read: int, length: int, window: int | None) -> int:
    """Of a token that is read and one that it sees."""
    if window is None:
        return read * length
    return sum(min(length, place + window + 1) - max(0, place - window) for place in range(read))


class Limit(Frozen):
    """Over all times that it was measured: thousand million operations a second."""

    gflops: float
    lowest: float
    highest: float


def between(before: Pace, after: Pace) -> Pace:
    """That of a time which both enclose."""
    return Pace(*((b + a) / 2 for b, a in zip(before, after, strict=True)))


def share(operations: Operations, paces: Sequence[Pace], taken: Sequence[float]) -> float:
    """The median over rounds of the seconds that the operations need at best, over those taken in the same round."""
    return median(pace.seconds(operations) / spent for pace, spent in zip(paces, taken, strict=True))


def part(computed: Operations, whole: Operations, paces: Sequence[Pace]) -> float:
    """Of the time that the whole takes at best."""
    return median(pace.seconds(computed) / pace.seconds(whole) for pace in paces)


def note(share: float, computed: float = 1.0) -> str | None:
    """Why a share of the whole model's operations is above 1, for a row that computes such a part of them."""
    if share <= NOISE:
        return None
    if share * computed <= NOISE:
        return f"{1 - computed:.0%} of the model's products are left out, for nobody reads them"
    return UNSTEADY


def spread(paces: Sequence[Pace]) -> dict[str, Limit]:
    """Of exact products, of integer ones, and of those with quantising what they read."""
    return {
        "fp32": _limit([pace.fp32 for pace in paces]),
        "int8": _limit([pace.int8 for pace in paces]),
        "int8_with_quantising": _limit([pace.int8 + pace.quantising for pace in paces]),
    }


def _limit(paces: Sequence[float]) -> Limit:
    rates = [1e-9 / pace for pace in paces]
    return Limit(gflops=round(median(rates), 1), lowest=round(min(rates), 1), highest=round(max(rates), 1))

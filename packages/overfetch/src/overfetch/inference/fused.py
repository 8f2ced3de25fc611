"""Attention as one node of a graph, which onnxruntime's fused kernel runs. Imports torch: only when exporting."""

from typing import Any

import torch


def fused(query: Any, key: Any, value: Any, lengths: Any, heads: int, scaling: float, bias: Any = None) -> torch.Tensor:
    """Attention of each row of [sequences, tokens, width] over as many keys as `lengths` says, or over all.

    `bias` [1 or sequences, 1 or heads, tokens, keys] is added to what is scaled. A placeholder in torch, a fused kernel
    in ONNX.
    """
    attended: torch.Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        [query, key, value, None, lengths, *([] if bias is None else [bias])],
        {"num_heads": heads, "scale": float(scaling)},
        dtype=query.dtype,
        shape=query.shape,
        version=1,
    )
    return attended

"""Where torch runs a cross-encoder, and in which precision."""

from typing import Any, Literal, NamedTuple

import torch


class Place(NamedTuple):
    """`run`: pairs that are read together; short runs on a CPU waste no padding and heed deadlines."""

    device: str
    precision: Literal["fp32", "bf16", "fp16"]
    dtype: torch.dtype
    run: int


def best_place() -> Place:
    """An NVIDIA GPU in bf16, or fp16 where it is too old for that; else the CPU, or another accelerator, in fp32."""
    found = torch.accelerator.current_accelerator(check_available=True)
    device = found.type if found is not None else "cpu"
    if device != "cuda":
        return Place(device, "fp32", torch.float32, 4 if device == "cpu" else 32)
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Place(device, "bf16", torch.bfloat16, 32)
    return Place(device, "fp16", torch.float16, 32)


def keep_head_exact(model: Any) -> None:
    """Runs what makes the logits in float32: bf16 would round those above 4 to 1/32, and near ones would tie.

    That is the classifier of a model of transformers, or the linear layer of sentence-transformers' last module.
    """
    head = getattr(model, "classifier", getattr(model, "linear", None))
    if head is not None:
        head.float()
        head.register_forward_pre_hook(lambda _, inputs: tuple(hidden.float() for hidden in inputs))

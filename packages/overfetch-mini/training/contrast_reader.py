"""A cross-encoder over any encoder of BERT's or MPNet's shape, and its weights as small files.

The int8 files hold matrices with one scale a row, all else as float16.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel

from overfetch.inference.interaction import Interaction

PART_BYTES, SLICE_BYTES = 15 * 2**20, 6 * 2**20
CLS, SEP, PAD = 101, 102, 0  # of BERT's vocabulary, which MPNet's is, shifted
MPNET_CLS, MPNET_SEP, MPNET_PAD, MPNET_SHIFT = 0, 2, 1, 4

Weights = Mapping[str, torch.Tensor]
Values = NDArray[np.generic]


class Trainable(torch.nn.Module):
    """What `contrast.py` trains: float32 logits [pairs] from ids, mask and types, each int64 [pairs, tokens]."""

    head_rate: float

    def parts(self) -> list[list[torch.nn.Parameter]]:
        """Of the encoder, and of the head, which learns faster."""
        raise NotImplementedError

    def keep(self, folder: Path) -> None:
        raise NotImplementedError


class Reader(Interaction, Trainable):
    """A base under the head that all of ours have; ids are BERT's."""

    head_rate = 2e-4

    def __init__(self, base: Path, *, weights: bool = True, dropout: float = 0.1) -> None:
        """With the base's `weights`, or to be filled with others."""
        super().__init__()
        config = AutoConfig.from_pretrained(
            base, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, dtype=torch.float32
        )
        if weights:
            self.encoder = AutoModel.from_pretrained(base, config=config, dtype=torch.float32, add_pooling_layer=False)
        else:
            self.encoder = AutoModel.from_config(config, add_pooling_layer=False)
        self.shifted = config.model_type == "mpnet"
        self.add_head(config.hidden_size)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        given: dict[str, Any] = (
            {"input_ids": as_mpnet(ids)} if self.shifted else {"input_ids": ids, "token_type_ids": types}
        )
        states = self.encoder(attention_mask=mask, **given).last_hidden_state.float()
        with torch.autocast(states.device.type, enabled=False):  # cosines lie too near for bfloat16
            return self.compare(states, ids, mask, types)[0].squeeze(1)

    def parts(self) -> list[list[torch.nn.Parameter]]:
        return [[*self.encoder.parameters()], [self.token_weight, self.cls_weight, self.scale]]

    def keep(self, folder: Path) -> None:
        save_parts(self.state_dict(), folder)


def as_mpnet(ids: torch.Tensor) -> torch.Tensor:
    special = torch.where(ids == CLS, MPNET_CLS, torch.where(ids == SEP, MPNET_SEP, ids + MPNET_SHIFT))
    return torch.where(ids == PAD, MPNET_PAD, special)


def save_parts(weights: Weights, folder: Path) -> None:
    """Files of at most PART_BYTES: what git and the way back from a rented machine carry."""
    folder.mkdir(parents=True, exist_ok=True)
    part: dict[str, Any] = {}
    number = 0
    for name, values in (piece for item in weights.items() for piece in _packed(*item)):
        if part and sum(array.nbytes for array in part.values()) + values.nbytes > PART_BYTES:
            np.savez(folder / f"part-{number:02}.npz", **part)
            part, number = {}, number + 1
        part[name] = values
    np.savez(folder / f"part-{number:02}.npz", **part)


def load_parts(folder: Path) -> dict[str, torch.Tensor]:
    """float32 weights by name."""
    arrays = {name: values for path in sorted(folder.glob("part-*.npz")) for name, values in np.load(path).items()}
    return {name: _unpacked(name, arrays) for name in {name.partition("|")[0] for name in arrays}}


def _packed(name: str, values: torch.Tensor) -> Iterator[tuple[str, Values]]:
    """Under its name and a kind; a large matrix in slices of its rows."""
    plain = values.detach().float().cpu()
    if plain.dim() != 2 or min(plain.shape) < 2:
        yield f"{name}|half", plain.half().numpy()
        return
    scale = plain.abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
    yield f"{name}|scale", scale.numpy()
    rows = (plain / scale).round().to(torch.int8).numpy()
    for number, slice_ in enumerate(np.array_split(rows, -(-rows.nbytes // SLICE_BYTES))):
        yield f"{name}|{number:03}", slice_


def _unpacked(name: str, arrays: Mapping[str, Values]) -> torch.Tensor:
    if (half := arrays.get(f"{name}|half")) is not None:
        return torch.tensor(half).float()
    slices = [arrays[key] for key in sorted(arrays) if key.startswith(f"{name}|") and key[-3:].isdecimal()]
    return torch.tensor(np.concatenate(slices)).float() * torch.tensor(arrays[f"{name}|scale"])

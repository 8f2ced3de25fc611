"""ModernBERT over sequences laid end to end. Imports torch: only when exporting.

Queries and keys are turned by their place in their own sequence, in one fused node a layer. In most layers a token
attends only to those that stand no further than the window from it. A fused kernel knows no window, so it is told by
a bias, and a longer sequence is read in pieces, each beside what its tokens can see: time and memory grow with its
length, not with the square.
"""

from typing import Any

import torch
from torch.nn.functional import embedding
from transformers import ModernBertModel
from transformers.modeling_outputs import BaseModelOutput

from overfetch.inference.fused import fused

LOCAL = "sliding_attention"
PIECE = 192  # tokens: up to so many, a whole sequence against itself costs less than pieces and their surroundings
OUT = -1e9

Turn = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of each token, [tokens, half of a head's width]."""


class PackedModernBert(ModernBertModel):
    """What `pack_modernbert` makes of an encoder."""

    def forward(
        self, input_ids: Any, position_ids: Any, slots: Any, lengths: Any, rows: Any, **_: Any
    ) -> BaseModelOutput:
        """Of [1, tokens] and the layout of `PackedModel`; of each sequence's first token alone, where the last layer is
        one of `ModernFirstTokens`.
        """
        hidden = self.embeddings(input_ids=input_ids)[0]
        turns = {kind: self._turn(hidden, position_ids, kind) for kind in self.rotary_emb.layer_types}
        near = Neighbours(position_ids[0], slots, lengths, rows, self.config.sliding_window)
        layers: Any = self.layers
        for layer in layers:
            turn = turns[layer.attention_type]
            if isinstance(layer, ModernFirstTokens):
                hidden = layer(hidden, turn, slots, lengths)
                continue
            parts = layer.attn.Wqkv(layer.attn_norm(hidden)).split(self.config.hidden_size, dim=1)
            query, key, value = turned(parts[0], turn), turned(parts[1], turn), parts[2]
            heads, scaling = self.config.num_attention_heads, layer.attn.head_dim**-0.5
            if layer.attention_type == LOCAL:
                attended = near.attend(query, key, value, heads, scaling)
            else:
                query, key, value = (embedding(slots, x) for x in (query, key, value))
                attended = embedding(rows, fused(query, key, value, lengths, heads, scaling).flatten(0, 1))
            hidden = hidden + layer.attn.Wo(attended)
            hidden = hidden + layer.mlp(layer.mlp_norm(hidden))
        return BaseModelOutput(last_hidden_state=self.final_norm(hidden)[None])

    def _turn(self, hidden: Any, position_ids: Any, kind: str) -> Turn:
        """transformers has each cosine and sine twice."""
        cosines, sines = (table[0].chunk(2, dim=1)[0] for table in self.rotary_emb(hidden, position_ids, kind))
        return cosines, sines


class Neighbours:
    """Who sees whom within a window, for all local layers of a run."""

    def __init__(self, positions: Any, slots: Any, lengths: Any, rows: Any, window: int) -> None:
        longest = slots.shape[1]
        count = (longest + PIECE - 1) // PIECE
        size = (longest + count - 1) // count
        span = torch.sym_min(longest, size + 2 * window)
        asking = torch.arange(count * size).view(count, size)
        first = (torch.arange(count) * size - window).clamp(min=0).minimum(_number(longest - span))
        seen = first[:, None] + torch.arange(span)
        near = (asking[:, :, None] - seen[:, None, :]).abs() <= window
        there = seen < lengths[:, None, None]
        self._bias = torch.where(near & there[:, :, None, :], 0.0, OUT).reshape(-1, 1, size, span)
        self._asking = slots[:, asking.minimum(_number(longest - 1))].reshape(-1, size)
        self._seen = slots[:, seen].reshape(-1, span)
        self._rows = rows // longest * (count * size) + positions

    def attend(self, query: Any, key: Any, value: Any, heads: int, scaling: float) -> torch.Tensor:
        """[tokens, width] each."""
        query, key, value = embedding(self._asking, query), embedding(self._seen, key), embedding(self._seen, value)
        return embedding(self._rows, fused(query, key, value, None, heads, scaling, self._bias).flatten(0, 1))


class ModernFirstTokens(torch.nn.Module):
    """A last layer for the first token of each sequence: of [tokens, width], [sequences, width]."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.attention_type = layer.attention_type
        self.reach = layer.config.sliding_window + 1 if layer.attention_type == LOCAL else None
        width = layer.attn.Wo.in_features
        self.query, self.key, self.value = (_part(layer.attn.Wqkv, start, width) for start in (0, width, 2 * width))

    def forward(self, hidden: Any, turn: Turn, slots: Any, lengths: Any) -> torch.Tensor:
        own, first = self.layer.attn, slots[:, 0]
        slots, lengths = slots[:, : self.reach], lengths.clamp(max=self.reach) if self.reach else lengths
        normed = self.layer.attn_norm(hidden)
        query = turned(self.query(embedding(first, normed)), [embedding(first, table) for table in turn])
        key, value = (embedding(slots, x) for x in (turned(self.key(normed), turn), self.value(normed)))
        attended = fused(query[:, None], key, value, lengths, own.config.num_attention_heads, own.head_dim**-0.5)
        hidden = embedding(first, hidden) + own.Wo(attended[:, 0])
        found: torch.Tensor = hidden + self.layer.mlp(self.layer.mlp_norm(hidden))
        return found


def pack_modernbert(encoder: Any) -> None:
    encoder.__class__ = PackedModernBert


def turned(states: Any, turn: Any) -> torch.Tensor:
    """[tokens, width] by rotary positions (Su et al. 2021). A placeholder in torch, a fused kernel in ONNX."""
    found: torch.Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::RotaryEmbedding",
        [states[None], torch.zeros(1, dtype=torch.long), *turn],  # from the first row on, one for each token
        {"interleaved": 0},
        dtype=states.dtype,
        shape=[1, *states.shape],
        version=1,
    )
    return found[0]


def _part(linear: Any, start: int, width: int) -> torch.nn.Linear:
    """So many outputs of a linear layer, as one of their own."""
    part = torch.nn.Linear(linear.in_features, width, bias=linear.bias is not None)
    part.weight = torch.nn.Parameter(linear.weight[start : start + width])
    if linear.bias is not None:
        part.bias = torch.nn.Parameter(linear.bias[start : start + width])
    return part


def _number(value: Any) -> torch.Tensor:
    """A size of this run, as a tensor."""
    number: torch.Tensor = torch.zeros(1, dtype=torch.long) + value
    return number

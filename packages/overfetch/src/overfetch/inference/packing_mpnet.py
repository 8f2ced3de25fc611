"""MPNet over sequences laid end to end. Imports torch: only when exporting.

It does not ask transformers' attention interface, and adds to all attention a bias that hangs on nothing but how far
apart two tokens stand: one, as large as the longest sequence asks, serves a whole run.
"""

from typing import Any

import torch
from torch.nn.functional import embedding
from transformers import MPNetModel
from transformers.modeling_outputs import BaseModelOutput

from overfetch.inference.fused import fused


class PackedMPNet(MPNetModel):
    """What `pack_mpnet` makes of an encoder."""

    buckets: torch.Tensor

    def forward(
        self, input_ids: Any, position_ids: Any, slots: Any, lengths: Any, rows: Any, **_: Any
    ) -> BaseModelOutput:
        """Of [1, tokens] and the layout of `PackedModel`."""
        hidden = self.embeddings(input_ids=input_ids, position_ids=position_ids + self.embeddings.padding_idx + 1)
        bias = self.position_bias(slots.shape[1])
        layers: Any = self.encoder.layer
        for layer in layers:
            attended = _attend(layer.attention.attn, hidden, slots, lengths, rows, bias)
            attended = layer.attention.LayerNorm(attended + hidden)
            hidden = layer.output(layer.intermediate(attended), attended)
        return BaseModelOutput(last_hidden_state=hidden)

    def position_bias(self, tokens: int) -> torch.Tensor:
        """[1, heads, tokens, tokens]."""
        places = torch.arange(tokens)
        distances = places[None, :] - places[:, None]
        buckets = self.buckets[distances + self.buckets.shape[0] // 2]
        bias: torch.Tensor = self.encoder.relative_attention_bias(buckets).permute(2, 0, 1)[None]
        return bias


def pack_mpnet(encoder: Any) -> None:
    """The buckets of all distances are looked up: a logarithm rounded otherwise than torch's would move some."""
    most = encoder.config.max_position_embeddings
    encoder.buckets = torch.nn.Buffer(encoder.encoder.relative_position_bucket(torch.arange(1 - most, most)))
    encoder.__class__ = PackedMPNet


def _attend(own: Any, hidden: Any, slots: Any, lengths: Any, rows: Any, bias: Any) -> torch.Tensor:
    """[1, tokens, width], as `own` (MPNetSelfAttention) makes it of each sequence."""
    query, key, value = (embedding(slots, project(hidden)[0]) for project in (own.q, own.k, own.v))
    attended = fused(query, key, value, lengths, own.num_attention_heads, own.attention_head_size**-0.5, bias)
    projected: torch.Tensor = own.o(embedding(rows, attended.reshape(-1, own.all_head_size))[None])
    return projected

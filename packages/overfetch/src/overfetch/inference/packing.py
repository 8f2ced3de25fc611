"""An encoder over sequences laid end to end: nothing is spent on padding. Imports torch: only when exporting.

All layers but attention treat each token alone, so they run once over the tokens of all sequences. Attention folds
the sequences into rows, padded to the longest, for onnxruntime's fused kernel. Any encoder of transformers that asks
its attention interface can be packed, and MPNet and ModernBERT; whether it was done right, the comparison with torch
tells.

Where only the first token of each sequence is read and the last layer is one of BERT's or ModernBERT's kind, no other
is computed.
"""

import copy
from typing import Any

import torch
from torch.nn.functional import embedding, normalize
from transformers import ModernBertForSequenceClassification, ModernBertModel, MPNetModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from overfetch.inference.fused import fused
from overfetch.inference.packing_modernbert import ModernFirstTokens, pack_modernbert
from overfetch.inference.packing_mpnet import pack_mpnet

INPUTS = ("input_ids", "token_type_ids", "positions", "slots", "lengths", "rows")


class PackedModel(torch.nn.Module):
    """A copy of `model`: a sequence classifier with one label, a HeadedEncoder, or an encoder whose mean vector is
    wanted.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval()
        encoder = self.model.base_model
        self._first_position = _first_position(encoder)
        layers, first_tokens = _last_of(encoder)
        self._reads_first_tokens = first_tokens is not None and _is_read_by_first_tokens(self.model)
        if self._reads_first_tokens:
            layers[-1] = first_tokens(layers[-1])
        _pack(encoder)
        for module in encoder.modules():
            if type(module) is torch.nn.Linear:
                module.__class__ = FlatLinear

    def forward(self, input_ids: Any, token_type_ids: Any, positions: Any, slots: Any, lengths: Any, rows: Any) -> Any:
        """Logits, or unit vectors: float32 [sequences, outputs].

        int64 [tokens] each of ids, types and positions in their own sequence; `slots` [sequences, longest] says which
        token stands there (any, after the last), `lengths` int32 [sequences], and `rows` [tokens] where each token
        stands in the flattened slots.
        """
        hidden = self.model.base_model(
            input_ids=input_ids[None],
            token_type_ids=token_type_ids[None],
            position_ids=positions[None] + self._first_position,
            slots=slots,
            lengths=lengths,
            rows=rows,
        ).last_hidden_state[0]
        if self._reads_first_tokens:
            return read_out(self.model, hidden[:, None], None, None, None)
        mask = (torch.arange(slots.shape[1])[None] < lengths[:, None]).long()
        return read_out(self.model, embedding(slots, hidden), input_ids[slots], mask, token_type_ids[slots])


class FlatLinear(torch.nn.Linear):
    """[1, tokens, width] as a matrix: one fused product with its bias in the graph."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input.squeeze(0)).unsqueeze(0) if input.ndim == 3 else super().forward(input)


class FirstTokens(torch.nn.Module):
    """A last layer of BERT's kind, [1, tokens, width], for the first token of each sequence: [1, sequences, width]."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Any, *_: Any, slots: Any, lengths: Any, **_layout: Any) -> torch.Tensor:
        attention = self.layer.attention
        own = attention.self
        first = embedding(slots[:, 0], hidden[0])
        key, value = (embedding(slots, project(hidden)[0]) for project in (own.key, own.value))
        query = own.query(first)[:, None]
        attended = fused(query, key, value, lengths, own.num_attention_heads, own.attention_head_size**-0.5)
        found: torch.Tensor = self.layer.feed_forward_chunk(attention.output(attended[:, 0], first))
        return found[None]


def read_out(model: Any, hidden: Any, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> torch.Tensor:
    """What the model says of the last layer, [sequences, longest, width]."""
    found: torch.Tensor
    if hasattr(model, "compare"):
        found = model.compare(hidden, input_ids, attention_mask, token_type_ids)[0]
    elif hasattr(model, "read_out"):
        found = model.read_out(hidden, attention_mask)
    elif isinstance(model, ModernBertForSequenceClassification):
        is_first = model.config.classifier_pooling == "cls"
        found = model.classifier(model.head(hidden[:, 0] if is_first else mean(hidden, attention_mask)))
    elif hasattr(model, "classifier"):
        pooler = getattr(model.base_model, "pooler", None)
        found = model.classifier(pooler(hidden) if pooler else hidden)
    else:
        found = mean_vector(hidden, attention_mask)
    return found


def mean_vector(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Mean of the token vectors under the mask, scaled to unit length (Reimers & Gurevych 2019)."""
    return normalize(mean(hidden, attention_mask), dim=1)


def mean(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Of a sequence's token states, float32 [sequences, width] from [sequences, tokens, width]."""
    mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1e-9)


def _pack(encoder: Any) -> None:
    if isinstance(encoder, MPNetModel):
        pack_mpnet(encoder)
    elif isinstance(encoder, ModernBertModel):
        pack_modernbert(encoder)
    else:
        encoder.set_attn_implementation("packed")


def _first_position(encoder: Any) -> int:
    """RoBERTa and its kin count positions from after the padding index."""
    embeddings = encoder.embeddings
    return embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_input_ids") else 0


def _is_read_by_first_tokens(model: Any) -> bool:
    """Whether nothing but [CLS] is read of the last layer."""
    if hasattr(model, "read_out"):
        found: bool = model.reads_first_tokens
        return found
    if isinstance(model, ModernBertForSequenceClassification):
        return model.config.classifier_pooling == "cls"
    return hasattr(model, "classifier") and not hasattr(model, "compare")


def _last_of(encoder: Any) -> tuple[Any, Any]:
    """An encoder's layers, and what computes the last of them for first tokens alone; None where nothing does.

    BERT's has its parts and no others: no norm before them.
    """
    if isinstance(encoder, ModernBertModel):
        return encoder.layers, ModernFirstTokens
    layers = getattr(getattr(encoder, "encoder", None), "layer", None)
    if layers is None or _parts(layers[-1]) != {"attention", "intermediate", "output"}:
        return layers, None
    return layers, FirstTokens if _parts(layers[-1].attention) == {"self", "output"} else None


def _parts(module: torch.nn.Module) -> set[str]:
    return {name for name, _ in module.named_children()}


def _attend(
    _module: Any, query: Any, key: Any, value: Any, _mask: Any, scaling: float, **layout: Any
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface, [1, heads, tokens, width]."""
    _, heads, tokens, width = query.shape
    flat = (x.transpose(1, 2).reshape(tokens, heads * width) for x in (query, key, value))
    query, key, value = (embedding(layout["slots"], x) for x in flat)
    attended = fused(query, key, value, layout["lengths"], heads, scaling)
    return embedding(layout["rows"], attended.reshape(-1, heads * width)).view(1, tokens, heads, width), None


ALL_ATTENTION_FUNCTIONS.register("packed", _attend)

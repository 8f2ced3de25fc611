"""A cross-encoder whose logit is the late interaction of jointly read tokens. Imports torch and transformers."""

from typing import Any

import torch
from transformers import BertConfig, BertModel, BertPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

CLS, SEP = 101, 102  # of BERT's uncased vocabulary
SOFTNESS = 0.05  # cosine; a softmax in place of the maximum, so that runners-up learn too
SCALE = 30.0  # logits a cosine, to begin with
OUT = -1e4


class Interaction(torch.nn.Module):
    """A head over an encoder's last layer: each query token looks for its like in the passage.

    The logit is a weighted mean over the query's tokens of the best cosine with a token of the passage (ColBERT's
    MaxSim, Khattab & Zaharia 2020, arXiv 2004.12832, here after joint attention), times a scale, plus a linear
    reading of [CLS]. Begun from a bi-encoder it orders well before any training, where a new head on [CLS] alone
    orders by chance.
    """

    def add_head(self, width: int) -> None:
        self.token_weight = torch.nn.Parameter(torch.zeros(width))
        self.cls_weight = torch.nn.Parameter(torch.zeros(width))
        self.scale = torch.nn.Parameter(torch.ones(()))  # of SCALE

    def compare(
        self, hidden: torch.Tensor, input_ids: Any, attention_mask: Any, token_type_ids: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(logits [batch, 1], each token's best cosine with the passage [batch, tokens]: NaN beside the query's)."""
        words = (attention_mask > 0) & (input_ids != CLS) & (input_ids != SEP)
        asking, answering = words & (token_type_ids == 0), words & (token_type_ids == 1)
        unit = torch.nn.functional.normalize(hidden, dim=2)
        cosines = torch.matmul(unit, unit.transpose(1, 2))
        likes = (cosines / SOFTNESS).masked_fill(~answering[:, None, :], OUT).softmax(dim=2)
        best = (likes * cosines).sum(dim=2)
        weights = (hidden * self.token_weight).sum(dim=2).masked_fill(~asking, OUT).softmax(dim=1)
        matched = (weights * best).sum(dim=1) * SCALE * self.scale
        logits = matched + (hidden[:, 0] * self.cls_weight).sum(dim=1)
        return logits[:, None], best.masked_fill(~asking, torch.nan)


class InteractionCrossEncoder(Interaction, BertPreTrainedModel):
    """BERT over query and passage together, under that head."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.add_head(config.hidden_size)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        super()._init_weights(module)
        if isinstance(module, InteractionCrossEncoder):
            torch.nn.init.zeros_(module.token_weight)
            torch.nn.init.zeros_(module.cls_weight)
            torch.nn.init.ones_(module.scale)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> SequenceClassifierOutput:
        """int64 [batch, tokens] each; logits float32 [batch, 1]."""
        return SequenceClassifierOutput(logits=self.read(input_ids, attention_mask, token_type_ids)[0])

    def read(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """What `compare` makes of the encoder's last layer."""
        hidden = self.bert(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state.float()
        return self.compare(hidden, input_ids, attention_mask, token_type_ids)

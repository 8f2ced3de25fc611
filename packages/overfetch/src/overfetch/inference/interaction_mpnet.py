"""The cross-encoder of the reader profile: MPNet under the head of `overfetch.inference.interaction`. Imports torch."""

from typing import Any

import torch
from transformers import MPNetConfig, MPNetModel, MPNetPreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from overfetch.inference.interaction import Interaction


class MPNetInteractionCrossEncoder(Interaction, MPNetPreTrainedModel):
    """MPNet over query and passage together. Its table of words is in the order of BERT's ids: it takes those."""

    def __init__(self, config: MPNetConfig) -> None:
        super().__init__(config)
        config.type_vocab_size = 2  # the head tells query from passage by them, MPNet has none
        self.mpnet = MPNetModel(config, add_pooling_layer=False)
        self.add_head(config.hidden_size)
        self.post_init()

    def _init_weights(self, module: Any) -> None:
        super()._init_weights(module)
        if isinstance(module, MPNetInteractionCrossEncoder):
            torch.nn.init.zeros_(module.token_weight)
            torch.nn.init.zeros_(module.cls_weight)
            torch.nn.init.ones_(module.scale)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> SequenceClassifierOutput:
        """int64 [batch, tokens] each, padded at the end; logits float32 [batch, 1]."""
        first = self.mpnet.embeddings.padding_idx + 1
        hidden = self.mpnet(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=torch.arange(first, first + input_ids.shape[1], device=input_ids.device)[None],
        ).last_hidden_state.float()
        return SequenceClassifierOutput(logits=self.compare(hidden, input_ids, attention_mask, token_type_ids)[0])

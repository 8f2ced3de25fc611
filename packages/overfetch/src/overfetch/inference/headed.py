"""Encoders under the chain of modules that sentence-transformers saved with them. Imports it: only when preparing."""

from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Dense
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling
from transformers.modeling_outputs import SequenceClassifierOutput

from overfetch.errors import ModelError
from overfetch.models import ModelSpec

POOLINGS = ("cls", "mean")


class HeadedEncoder(torch.nn.Module):
    """An encoder and its head: pooling first, then linear layers and norms."""

    def __init__(self, encoder: Any, head: list[Any]) -> None:
        super().__init__()
        self.base_model = encoder
        self.head = torch.nn.ModuleList(head)

    @property
    def config(self) -> Any:
        return self.base_model.config

    @property
    def reads_first_tokens(self) -> bool:
        """Whether no other is read of the last layer."""
        pooling: Any = self.head[0]
        return bool(pooling.pooling_mode == "cls")

    def get_input_embeddings(self) -> Any:
        return self.base_model.get_input_embeddings()

    def set_input_embeddings(self, table: Any) -> None:
        self.base_model.set_input_embeddings(table)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> SequenceClassifierOutput:
        """int64 [batch, tokens] each, padded at the end; `logits`, or unit vectors: float32 [batch, outputs]."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        return SequenceClassifierOutput(logits=self.read_out(hidden, attention_mask))

    def read_out(self, hidden: torch.Tensor, attention_mask: Any = None) -> torch.Tensor:
        """What the head says of the last layer, [batch, tokens, width]; without a mask all tokens count."""
        features = {"token_embeddings": hidden, "cls_token_embeddings": hidden[:, 0]}
        if attention_mask is not None:
            features["attention_mask"] = attention_mask
        for module in self.head:
            features = module(features)
        return features.get("scores", features["sentence_embedding"])


def load_headed(source: Path, spec: ModelSpec) -> HeadedEncoder:
    """In float32, as sentence-transformers reads the folder. Raises ModelError where the chain is of other kinds."""
    load: Any = SentenceTransformer if spec.kind == "embedder" else CrossEncoder
    encoder, *head = load(str(source), device="cpu", model_kwargs={"dtype": torch.float32}, local_files_only=True)
    if not (_is_known(head) and (spec.kind == "embedder" or _ends_in_a_score(head))):
        raise ModelError(f"{spec.name}: {source / 'modules.json'} has a chain that no export knows: {head}")
    return HeadedEncoder(encoder.auto_model, head if spec.kind == "reranker" else [*head, Normalize()])


def _is_known(head: list[Any]) -> bool:
    pooling, *others = head
    if not isinstance(pooling, Pooling) or pooling.pooling_mode not in POOLINGS or not pooling.include_prompt:
        return False
    return all(isinstance(module, Dense | LayerNorm | Normalize) for module in others)


def _ends_in_a_score(head: list[Any]) -> bool:
    last = head[-1]
    return isinstance(last, Dense) and (last.module_output_name, last.out_features) == ("scores", 1)

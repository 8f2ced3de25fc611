"""Models of the hub through sentence-transformers, read from their prepared folder and never from the network."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from overfetch.protocols import RerankScores, Vectors
from overfetch.settings import ModelSpec

RUN = 4


class HubEmbedder:
    """A pinned bi-encoder with its query and passage prefixes."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        self.spec = spec
        prompts = {"query": spec.query_prefix, "document": spec.passage_prefix}
        self._model = SentenceTransformer(str(folder), prompts=prompts, local_files_only=True)
        self._model.max_seq_length = spec.max_tokens

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode_query(list(texts), normalize_embeddings=True)
        return vectors

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode_document(list(texts), normalize_embeddings=True)
        return vectors


class HubReranker:
    """A pinned cross-encoder. Logits stay raw: a sigmoid in bf16 ties at 1.0."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        self.spec = spec
        self._model = CrossEncoder(
            str(folder), max_length=spec.max_tokens, activation_fn=torch.nn.Identity(), local_files_only=True
        )

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Small runs in the order given, so that a deadline leaves the best first-stage candidates scored."""
        logits: list[float] = []
        for start in range(0, len(passages), RUN):
            if deadline is not None and time.monotonic() >= deadline:
                break
            run = passages[start : start + RUN]
            scores = self._model.predict([(query, p) for p in run], batch_size=RUN, show_progress_bar=False)
            logits.extend(float(score) for score in scores)
        return RerankScores(logits, self._cut(query, passages[: len(logits)]))

    def _cut(self, query: str, passages: Sequence[str]) -> int:
        encoded = self._model.tokenizer([(query, p) for p in passages], truncation=False, verbose=False)["input_ids"]
        return sum(max(0, len(ids) - self.spec.max_tokens) for ids in encoded)

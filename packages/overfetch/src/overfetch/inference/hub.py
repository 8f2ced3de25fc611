"""Models of the hub through sentence-transformers, read from their prepared folder and never from the network."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        # Embedding and counting switch the tokenizer's truncation on and off: one thread at a time.
        self._embedding = threading.Lock()

    def warm_up(self) -> None:
        self.embed_queries(["warm up"])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        with self._embedding:
            vectors: Vectors = self._model.encode_query(list(texts), normalize_embeddings=True)
        return vectors

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        with self._embedding:
            vectors: Vectors = self._model.encode_document(list(texts), normalize_embeddings=True)
        return vectors

    def count_truncated(self, passages: Sequence[str]) -> int:
        texts = [self.spec.passage_prefix + passage for passage in passages]
        with self._embedding:
            return count_excess(self._model.tokenizer, texts, self.spec.max_tokens)


class HubReranker:
    """A pinned cross-encoder. Logits stay raw: a sigmoid in bf16 ties at 1.0."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        self.spec = spec
        self._model = CrossEncoder(
            str(folder), max_length=spec.max_tokens, activation_fn=torch.nn.Identity(), local_files_only=True
        )
        # Scoring and counting switch the tokenizer's truncation on and off: one thread at a time.
        self._scoring = threading.Lock()

    def warm_up(self) -> None:
        self.score("warm up", ["warm up"])

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Small runs in the order given, so that a deadline leaves the best first-stage candidates scored."""
        logits: list[float] = []
        cut = 0
        for start in range(0, len(passages), RUN):
            pairs = [(query, passage) for passage in passages[start : start + RUN]]
            with self._scoring:
                if deadline is not None and time.monotonic() >= deadline:
                    break
                logits += self._model.predict(pairs, batch_size=RUN, show_progress_bar=False).tolist()
                cut += count_excess(self._model.tokenizer, pairs, self.spec.max_tokens)
        return RerankScores(logits, cut)


def count_excess(tokenizer: Any, inputs: Sequence[str | tuple[str, str]], max_tokens: int) -> int:
    """Tokens beyond the limit, over all inputs."""
    encoded = tokenizer(inputs, truncation=False, verbose=False)["input_ids"]
    return sum(max(0, len(ids) - max_tokens) for ids in encoded)

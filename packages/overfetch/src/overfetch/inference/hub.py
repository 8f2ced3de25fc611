"""Models of the hub through sentence-transformers, read from their prepared folder and never from the network."""

from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from overfetch.forking import ProcessLock
from overfetch.inference.devices import best_place, keep_head_exact
from overfetch.inference.runs import Piece, RunningReranker
from overfetch.inference.tokenizing import TextTokenizer
from overfetch.models import ModelSpec
from overfetch.protocols import Vectors


class HubEmbedder:
    """A pinned bi-encoder with its query and passage prefixes."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        self.spec = spec
        prompts = {"query": spec.query_prefix, "document": spec.passage_prefix}
        self._model = SentenceTransformer(
            str(folder), prompts=prompts, model_kwargs={"dtype": torch.float32}, local_files_only=True
        )
        self._model.max_seq_length = spec.max_tokens
        self._tokenizer = TextTokenizer(folder / "tokenizer.json", spec.max_tokens)
        self._embedding = ProcessLock()

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
        return sum(self._tokenizer.text(self.spec.passage_prefix + passage).cut for passage in passages)


class HubReranker(RunningReranker):
    """A pinned cross-encoder. Logits stay raw: a sigmoid in bf16 ties at 1.0."""

    def __init__(self, folder: Path, spec: ModelSpec, *, windows: bool = True) -> None:
        place = best_place()
        super().__init__(folder, spec.model_copy(update={"precision": place.precision}), place.run, windows)
        self._model = CrossEncoder(
            str(folder),
            device=place.device,
            max_length=spec.max_tokens,
            activation_fn=torch.nn.Identity(),
            model_kwargs={"dtype": place.dtype},
            local_files_only=True,
        )
        keep_head_exact(self._model.model if len(self._model) == 1 else self._model[-1])

    def read(self, pieces: Sequence[Piece]) -> list[float]:
        pairs = [piece.texts for piece in pieces]
        logits: list[float] = self._model.predict(pairs, batch_size=len(pairs), show_progress_bar=False).tolist()
        return logits

"""Prepared models on onnxruntime: the default on a CPU. Imports neither torch nor transformers."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from overfetch.errors import ModelError
from overfetch.inference.tokenizing import TextTokenizer, Tokens
from overfetch.protocols import RerankScores, Vectors
from overfetch.settings import ModelSpec

TOKEN_BUDGET = 1024


class OnnxModel:
    """One session and its tokenizer. Safe to share between threads."""

    def __init__(self, folder: Path, spec: ModelSpec, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            path = str(folder / "model.onnx")
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            self.tokenizer = TextTokenizer(folder / "tokenizer.json", spec.max_tokens)
        except Exception as error:
            raise ModelError(f"{spec.name}: cannot load {folder}: {error}") from error
        self._inputs = {entry.name for entry in self._session.get_inputs()}

    def run(self, batch: Sequence[Tokens]) -> Vectors:
        """float32 [len(batch), outputs]; shorter sequences are padded and masked."""
        longest = max(len(tokens.ids) for tokens in batch)
        arrays = {name: np.zeros((len(batch), longest), dtype=np.int64) for name in self._inputs}
        for row, tokens in enumerate(batch):
            filled = slice(0, len(tokens.ids))
            arrays["input_ids"][row, filled] = tokens.ids
            arrays["attention_mask"][row, filled] = 1
            if "token_type_ids" in arrays:
                arrays["token_type_ids"][row, filled] = tokens.type_ids
        outputs: Vectors = self._session.run(None, arrays)[0]
        return outputs


class OnnxEmbedder:
    """A prepared bi-encoder. The graph ends in unit-length vectors."""

    def __init__(self, folder: Path, spec: ModelSpec, threads: int = 0) -> None:
        self.spec = spec
        self._model = OnnxModel(folder, spec, threads)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.spec.query_prefix + text for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.spec.passage_prefix + text for text in texts])

    def count_truncated(self, passages: Sequence[str]) -> int:
        return sum(self._model.tokenizer.text(self.spec.passage_prefix + passage).cut for passage in passages)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        tokens = [self._model.tokenizer.text(text) for text in texts]
        vectors = np.zeros((len(texts), self.spec.dimension or 0), dtype=np.float32)
        for rows in buckets([len(t.ids) for t in tokens], TOKEN_BUDGET):
            vectors[rows] = self._model.run([tokens[row] for row in rows])
        return vectors


class OnnxReranker:
    """A prepared cross-encoder. Pairs run one at a time: on few cores padding costs more than batching saves."""

    def __init__(self, folder: Path, spec: ModelSpec, threads: int = 0) -> None:
        self.spec = spec
        self._model = OnnxModel(folder, spec, threads)

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Scores in the order given, so that a deadline leaves the best first-stage candidates scored."""
        logits: list[float] = []
        cut = 0
        for passage in passages:
            if deadline is not None and time.monotonic() >= deadline:
                break
            tokens = self._model.tokenizer.pair(query, passage)
            logits.append(float(self._model.run([tokens])[0, 0]))
            cut += tokens.cut
        return RerankScores(logits, cut)


def buckets(lengths: Sequence[int], token_budget: int) -> Iterator[list[int]]:
    """Rows of similar length, each bucket within `token_budget` padded tokens or a single row.

    >>> list(buckets([5, 1, 4, 2], 8))
    [[1, 3], [2], [0]]
    """
    bucket: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if bucket and lengths[row] * (len(bucket) + 1) > token_budget:
            yield bucket
            bucket = []
        bucket.append(row)
    if bucket:
        yield bucket

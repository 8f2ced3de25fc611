"""Prepared models on onnxruntime: the default on a CPU. Imports neither torch nor transformers."""

import time
from collections.abc import Iterator, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from overfetch.errors import DeadlineExceeded, ModelError
from overfetch.inference.caching import ScoreCache, Scored, keys_of
from overfetch.inference.scoring import shared_scorer
from overfetch.inference.tokenizing import TextTokenizer, Tokens
from overfetch.models import ModelSpec
from overfetch.protocols import RerankScores, Vectors
from overfetch.scheduling import ahead, alone

TOKEN_BUDGET = 256  # until `warm_up` has measured
BUDGETS = (0, 128, 256, 512)  # beyond, attention's padding and full caches cost more than larger products save
SAMPLE_TOKENS, SAMPLE_ROUNDS, WORTH_IT = 64, 3, 0.97
SLICE = 64
SLOWER = ["SkipLayerNormFusion"]  # its kernel takes five times what addition and normalisation take


class OnnxModel:
    """One session and its tokenizer. Safe to share between threads, each of which does its own run."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        # int8 products scale what they read by the whole run: each sequence alone, or its score would hang on others.
        self._budgets = BUDGETS if spec.precision == "fp32" else (0,)
        self.token_budget = TOKEN_BUDGET if TOKEN_BUDGET in self._budgets else 0
        try:
            self._session = onnxruntime.InferenceSession(
                str(folder / "model.onnx"),
                session_options(threads=1),
                providers=["CPUExecutionProvider"],
                disabled_optimizers=SLOWER,
            )
            self.tokenizer = TextTokenizer(folder / "tokenizer.json", spec.max_tokens)
        except Exception as error:
            raise ModelError(f"{spec.name}: cannot load {folder}: {error}") from error

    def run(self, batch: Sequence[Tokens]) -> Vectors:
        """float32 [len(batch), outputs]."""
        outputs: Vectors = self._session.run(None, lay_out(batch))[0]
        return outputs

    def warm_up(self) -> None:
        """Measures how long runs should be: what is best for one model and processor is not for another."""
        length = min(SAMPLE_TOKENS, self.tokenizer.max_tokens)
        sample = [Tokens([1] * length, [0] * length, 0)]
        runs = {budget: sample * max(1, budget // length) for budget in self._budgets}
        seconds = dict.fromkeys(runs, float("inf"))  # for a sequence
        for _ in range(SAMPLE_ROUNDS):
            for budget, run in runs.items():
                began = time.perf_counter()
                self.run(run)
                seconds[budget] = min(seconds[budget], (time.perf_counter() - began) / len(run))
        # The shortest of those that are as good: the shorter the runs, the less a deadline or the last of them waits.
        self.token_budget = next(b for b, spent in seconds.items() if spent * WORTH_IT <= min(seconds.values()))


def session_options(threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Weights that are kept in int8 become float32 once, at loading, instead of in every run.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return options


def lay_out(batch: Sequence[Tokens]) -> dict[str, NDArray[Any]]:
    """The inputs of a packed graph (`overfetch.inference.packing`): sequences end to end, and where each token stands.

    >>> {name: array.tolist() for name, array in lay_out([Tokens([5, 6], [0, 1], 0), Tokens([7], [0], 0)]).items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'input_ids': [5, 6, 7], 'token_type_ids': [0, 1, 0], 'positions': [0, 1, 0],
     'slots': [[0, 1], [2, 0]], 'lengths': [2, 1], 'rows': [0, 1, 2]}
    """
    lengths = np.array([len(tokens.ids) for tokens in batch])
    places = np.arange(lengths.max())[None, :]
    starts = np.cumsum(lengths) - lengths
    filled = places < lengths[:, None]
    return {
        "input_ids": np.concatenate([tokens.ids for tokens in batch]).astype(np.int64),
        "token_type_ids": np.concatenate([tokens.type_ids for tokens in batch]).astype(np.int64),
        "positions": np.concatenate([np.arange(length) for length in lengths]),
        "slots": np.where(filled, starts[:, None] + places, 0),
        "lengths": lengths.astype(np.int32),
        "rows": np.flatnonzero(filled),
    }


class OnnxEmbedder:
    """A prepared bi-encoder. The graph ends in unit-length vectors."""

    def __init__(self, folder: Path, spec: ModelSpec, threads: int = 0) -> None:
        self.spec = spec
        self._model = OnnxModel(folder, spec)
        self._scorer = shared_scorer(threads)

    def warm_up(self) -> None:
        self._model.warm_up()

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        with ahead(), alone():  # nothing of its request can be searched before it, nor may who else asks move a rank
            return self._embed([self.spec.query_prefix + text for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.spec.passage_prefix + text for text in texts])

    def count_truncated(self, passages: Sequence[str]) -> int:
        return sum(self._model.tokenizer.text(self.spec.passage_prefix + passage).cut for passage in passages)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """A slice at a time, so that whoever asks meanwhile waits for a slice only; its longest first."""
        vectors = np.zeros((len(texts), self.spec.dimension or 0), dtype=np.float32)
        for start in range(0, len(texts), SLICE):
            order = sorted(range(start, min(start + SLICE, len(texts))), key=lambda i: -len(texts[i]))
            tokens = (self._model.tokenizer.text(texts[i]) for i in order)
            rows = self._scorer.run(self._model, tokens)
            if len(rows) < len(order) or any(row is None for row in rows):
                raise DeadlineExceeded(f"{self.spec.name}: whoever asked has left, or has no time left")
            vectors[order] = rows
        return vectors


class OnnxReranker:
    """A prepared cross-encoder; remembers scores in `cache`.

    With `windows` it reads a passage beyond its limit in overlapping pieces, of which the best counts (MaxP, Dai &
    Callan 2019); without, it cuts the passage and counts what it cut.
    """

    def __init__(
        self, folder: Path, spec: ModelSpec, threads: int = 0, cache: ScoreCache | None = None, *, windows: bool = True
    ) -> None:
        self.spec = spec
        self.windows = windows
        self._model = OnnxModel(folder, spec)
        self._scorer = shared_scorer(threads)
        self._cache = cache or ScoreCache(0)

    def warm_up(self) -> None:
        self._model.warm_up()

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Scores in the order given, so that a deadline leaves the best first-stage candidates scored.

        Raises Overloaded and ModelError.
        """
        keys = keys_of(self.spec, query, passages, self.windows)
        scores = self._cache.find(keys)
        missing = [place for place, known in enumerate(scores) if known is None]
        if deadline is None:  # the longest first, so that none is waited for at the end
            missing.sort(key=lambda place: -len(passages[place]))
        found = dict(self._read(query, passages, missing, deadline))
        for place, scored in found.items():
            scores[place] = scored
        self._cache.keep({keys[place]: scored for place, scored in found.items()})
        read = [known for known in takewhile(lambda known: known is not None, scores) if known is not None]
        logits, cut = [known.logit for known in read], sum(known.cut for known in read)
        return RerankScores(logits, cut, remembered=len(passages) - len(missing))

    def _read(
        self, query: str, passages: Sequence[str], places: Sequence[int], deadline: float | None
    ) -> Iterator[tuple[int, Scored]]:
        """The places that were read whole in time."""
        owners: list[tuple[int, int]] = []

        def tokenised() -> Iterator[Tokens]:
            """One after the other, while the first are read already."""
            for reading in self._model.tokenizer.readings(query, [passages[p] for p in places], self.windows):
                owners.append((places[reading.place], reading.tokens.cut))
                yield reading.tokens

        rows = self._scorer.run(self._model, tokenised(), deadline)
        for place, pieces in groupby(zip(owners, rows, strict=True), key=lambda piece: piece[0][0]):
            logits, cuts = zip(*((row, cut) for (_, cut), row in pieces), strict=True)
            if all(row is not None for row in logits):
                yield place, Scored(max(float(row[0]) for row in logits), max(cuts))

"""Prepared models on onnxruntime: the default on a CPU. Imports neither torch nor transformers."""

import time
from collections.abc import Iterator, Sequence
from copy import copy
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from overfetch.errors import DeadlineExceeded, ModelError
from overfetch.inference.caching import ScoreCache, Scored, keys_in_list, keys_of
from overfetch.inference.scoring import shared_scorer
from overfetch.inference.tokenizing import TextTokenizer, Tokens
from overfetch.inference.windows import Plan, Reading
from overfetch.models import ModelSpec
from overfetch.protocols import RerankScores, Vectors
from overfetch.scheduling import ahead, alone, at_leisure

TOKEN_BUDGET = 256  # until `warm_up` has measured
BUDGETS = (0, 128, 256, 512)  # beyond, attention's padding and full caches cost more than larger products save
SAMPLE_TOKENS, SAMPLE_ROUNDS, WORTH_IT = 64, 3, 0.97
SLICE = 64
SLOWER = ["SkipLayerNormFusion"]  # its kernel takes five times what addition and normalisation take


class OnnxModel:
    """One session and its tokenizer. Safe to share between threads, each of which does its own run."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        self.token_budget = TOKEN_BUDGET
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
        runs = {budget: sample * max(1, budget // length) for budget in BUDGETS}
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
        # Nothing of its request can be searched before it, nor may who else asks move a rank; and it is short.
        with ahead(), alone(), at_leisure():
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
    Callan 2019), all of them or what the model's `read_tokens` allow; without, it cuts the passage. It counts what it
    did not see.
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

    def within(self, tokens: int, /) -> Self:
        """With the same session, reading so many tokens a query; 0: all."""
        other = copy(self)
        other.spec = self.spec.within(tokens)
        return other

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Scores in the order given, so that a deadline leaves the best first-stage candidates scored.

        Raises Overloaded and ModelError.
        """
        keys = keys_of(self.spec, query, passages, self.windows)
        in_list = keys_in_list(self.spec, keys)
        scores = self._cache.find(keys, in_list)
        missing = [place for place, known in enumerate(scores) if known is None]
        found = dict[int, Found]()
        if missing:
            plan = Plan(self._model.tokenizer, query, passages, windows=self.windows, budget=self.spec.read_tokens)
            found = self._read(plan, passages, missing, deadline)
            for place, own in found.items():
                scores[place] = own.scored
            whole = {place: own.scored for place, own in found.items() if own.in_time}
            self._cache.keep({(in_list if plan.hangs_on_others(p) else keys)[p]: own for p, own in whole.items()})
        read = [known for known in takewhile(lambda known: known is not None, scores) if known is not None]
        logits, cut = [known.logit for known in read], sum(known.cut for known in read)
        remembered = len(passages) - len(missing)
        return RerankScores(logits, cut, remembered, tokens_read=sum(own.tokens for own in found.values()))

    def _read(
        self, plan: Plan, passages: Sequence[str], missing: Sequence[int], deadline: float | None
    ) -> dict[int, "Found"]:
        """The missing ones of which at least the first window was read in time. All take their part of a budget."""
        places = missing if self.spec.read_tokens is None else range(len(passages))
        if deadline is None:  # the longest first, so that none is waited for at the end
            places = sorted(places, key=lambda place: -len(passages[place]))
        readings: list[Reading] = []

        def tokenised() -> Iterator[Tokens]:
            """One after the other, while the first are read already."""
            for reading in plan.readings(places):
                if reading.place in wanted:
                    readings.append(reading)
                    yield reading.tokens

        wanted, pieces = set(missing), dict[int, list[tuple[Tokens, Any]]]()
        rows = self._scorer.run(self._model, tokenised(), deadline)
        for reading, row in zip(readings, rows, strict=True):
            pieces.setdefault(reading.place, []).append((reading.tokens, row))
        return {place: _best(own, plan, place) for place, own in pieces.items() if own[0][1] is not None}


class Found(NamedTuple):
    """A passage's score, whether all that was to be read was, and the tokens of what was."""

    scored: Scored
    in_time: bool
    tokens: int


def _best(pieces: Sequence[tuple[Tokens, Any]], plan: Plan, place: int) -> Found:
    logits = [float(row[0]) for _, row in pieces if row is not None]
    late = sum(len(tokens.ids) for tokens, row in pieces if row is None)
    cut = max(tokens.cut for tokens, _ in pieces) + plan.unread[place] + late
    return Found(Scored(max(logits), cut), late == 0, sum(len(tokens.ids) for tokens, _ in pieces) - late)

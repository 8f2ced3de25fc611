"""What the cross-encoders on torch share: short runs in the order given, deadlines between them, cuts counted."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple, Self

from overfetch.forking import ProcessLock
from overfetch.inference.tokenizing import TextTokenizer, Tokens
from overfetch.inference.windows import Plan
from overfetch.leaving import at_work, whether_left
from overfetch.models import ModelSpec
from overfetch.protocols import RerankScores

TOKENS = 16_384  # in a run, padding included: what a small GPU holds


class Piece(NamedTuple):
    """A passage or a window of it, beside the query: as texts, and as the sequence that they make."""

    place: int
    texts: tuple[str, str]
    tokens: Tokens


class RunningReranker(ABC):
    """A Reranker in a transformers folder that reads `run` pairs at a time. Threads take turns.

    With `windows` it reads a passage beyond its limit in pieces, as OnnxReranker does.
    """

    def __init__(self, folder: Path, spec: ModelSpec, run: int, windows: bool) -> None:
        self.spec = spec
        self._tokenizer = TextTokenizer(folder / "tokenizer.json", spec.max_tokens)
        self._run = run
        self._windows = windows
        self._turn = ProcessLock()

    @abstractmethod
    def read(self, pieces: Sequence[Piece]) -> list[float]:
        """The raw logits of one run."""

    def warm_up(self) -> None:
        self.score("warm up", ["warm up"])

    def within(self, tokens: int, /) -> Self:
        """With the same model, reading so many tokens a query; 0: all."""
        other = copy(self)
        other.spec = self.spec.within(tokens)
        return other

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """In the order given, so that a deadline leaves the best first-stage candidates scored."""
        pieces = list(self._pieces(query, passages))
        logits = self._read_in_time(pieces, deadline)
        unfinished = pieces[len(logits)].place if len(logits) < len(pieces) else len(passages)
        best, cut = [-math.inf] * unfinished, [0] * unfinished
        for piece, logit in zip(pieces, logits, strict=False):
            if piece.place < unfinished:
                best[piece.place] = max(best[piece.place], logit)
                cut[piece.place] = max(cut[piece.place], piece.tokens.cut)
        return RerankScores(best, sum(cut), tokens_read=sum(len(own.tokens.ids) for own in pieces[: len(logits)]))

    def _pieces(self, query: str, passages: Sequence[str]) -> Iterator[Piece]:
        plan = Plan(self._tokenizer, query, passages, windows=self._windows, budget=self.spec.read_tokens)
        for place, text, tokens in sorted(plan.readings(range(len(passages))), key=lambda reading: reading.place):
            yield Piece(place, (plan.asked.text, text), tokens)

    def _read_in_time(self, pieces: Sequence[Piece], deadline: float | None) -> list[float]:
        logits: list[float] = []
        left = whether_left()
        while len(logits) < len(pieces):
            with at_work(), self._turn:
                if left.is_set() or (deadline is not None and time.monotonic() >= deadline):
                    break
                logits += self.read(self._next(pieces[len(logits) :]))
        return logits

    def _next(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        longest = max(len(piece.tokens.ids) for piece in pieces[: self._run])
        return pieces[: max(1, min(self._run, TOKENS // longest))]

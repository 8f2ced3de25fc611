"""Where time is short the faster of two models reads: all passages of a request, since scores of two do not compare."""

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from overfetch.models import ModelSpec
from overfetch.protocols import Reranker, RerankScores
from overfetch.scheduling import moving_average

WEIGHT_OF_THE_LAST = 0.2
SAMPLE = [f"Passage {number} is as long as passages are. " * 12 for number in range(16)]


class Pace:
    """What the usual model takes to read a character, in seconds, and the faster one's share of that.

    A moving average over what both read: under load both take longer. None: not known yet.
    """

    def __init__(self, usual: float | None = None, share: float | None = None) -> None:
        self.usual = usual
        self.share = share

    def learn(self, seconds: float) -> None:
        """What a character took, or would have taken the usual model."""
        self.usual = moving_average(self.usual, seconds, WEIGHT_OF_THE_LAST)

    def prefers_faster(self, lengths: Sequence[int], seconds: float) -> bool:
        """Whether the usual model cannot read passages of so many characters in that time, and the faster one more."""
        if self.usual is None or self.share is None:
            return False
        usual, faster = (_readable(lengths, seconds / cost) for cost in (self.usual, self.usual * self.share))
        return usual < len(lengths) and usual < faster


def _readable(lengths: Sequence[int], characters: float) -> int:
    """How many of the first."""
    return sum(end <= characters for end in accumulate(lengths))


class Reading(NamedTuple):
    """Scores, and the seconds that a character took; None where nothing was read or not all of it anew."""

    scores: RerankScores
    pace: float | None


class Ladder:
    """A Reranker of two. It is the usual one to whoever sets no deadline, and until `warm_up` has measured both."""

    def __init__(self, usual: Reranker, faster: Reranker, pace: Pace | None = None) -> None:
        self.usual = usual
        self.faster = faster
        self.pace = pace or Pace()

    @property
    def spec(self) -> ModelSpec:
        """Of the usual model."""
        return self.usual.spec

    def warm_up(self) -> None:
        """Once: measured beside requests, which a further check is, both would take as long as these."""
        if self.pace.share is not None:
            return
        for reranker in (self.usual, self.faster):
            reranker.warm_up()
        query = f"warm up {time.time_ns()}"  # whose scores no cache has
        usual, faster = (_read(reranker, query, SAMPLE, None).pace for reranker in (self.usual, self.faster))
        if usual and faster:
            self.pace.learn(usual)
            self.pace.share = faster / usual

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """As the usual model, or as the faster one: `RerankScores.spec` says so."""
        lengths = [*map(len, passages)]
        if deadline is not None and self.pace.prefers_faster(lengths, deadline - time.monotonic()):
            return self._learn(_read(self.faster, query, passages, deadline), self.pace.share)._replace(
                spec=self.faster.spec
            )
        return self._learn(_read(self.usual, query, passages, deadline), 1.0)

    def _learn(self, reading: Reading, share: float | None) -> RerankScores:
        if reading.pace is not None and share:
            self.pace.learn(reading.pace / share)
        return reading.scores


def _read(reranker: Reranker, query: str, passages: Sequence[str], deadline: float | None) -> Reading:
    began = time.monotonic()
    scores = reranker.score(query, passages, deadline)
    seconds, characters = time.monotonic() - began, sum(map(len, passages[: len(scores.logits)]))
    return Reading(scores, seconds / characters if characters and not scores.remembered else None)

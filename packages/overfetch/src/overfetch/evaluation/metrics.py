"""Metrics by ir-measures (trec_eval's definitions); the interval of a paired difference, and whether it is chance."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean

import ir_measures
import numpy as np
from ir_measures import RR, R, Success, nDCG
from numpy.typing import NDArray

from overfetch.judged import Qrels
from overfetch.types import Frozen

MEASURES = {
    "success@5": Success @ 5,
    "recall@5": R @ 5,
    "recall@20": R @ 20,
    "mrr@5": RR @ 5,
    "mrr@10": RR @ 10,
    "ndcg@10": nDCG @ 10,
}
DECISIVE = "ndcg@10"  # by its gain a reranker is recommended, and a tuned one installed
RESAMPLES, SEED = 10_000, 7
LEAST = 20  # queries that differ: fewer decide nothing
CHANCE = 0.05  # of a difference as large where there is none: less is beyond chance
EXACT = 13  # queries that differ: of more, not all flips are tried
ROUNDING = 1e-12

Run = Mapping[str, Sequence[str]]
Values = dict[str, list[float]]


class Interval(Frozen):
    """A mean and the bounds of its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


class Difference(Interval):
    """A mean gain, and how likely one as large is, either way, where each query's gain could as well have been a loss:
    a paired sign-flip test (Fisher 1935; for retrieval Smucker, Allan & Carterette 2007), exact for a few queries.

    Of `queries` so many are `differing`: the others say nothing.
    """

    p: float
    queries: int
    differing: int

    @property
    def gains(self) -> bool:
        """Beyond chance: by the test and by the interval, which alone is too narrow over a few dozen queries."""
        return self.low > 0 and self.p < CHANCE

    @property
    def loses(self) -> bool:
        return self.high < 0 and self.p < CHANCE

    @property
    def _chance(self) -> str:
        return "p < 0.001" if self.p < 0.001 else f"p {self.p:.3f}"

    @property
    def gain(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"

    @property
    def told(self) -> str:
        return f"{self.gain}, {self._chance}"

    @property
    def tested(self) -> str:
        few = "" if self.differing >= LEAST else f", a verdict takes {LEAST}"
        return f"{self._chance} by a paired sign-flip test; {self.differing} of {self.queries} queries differ{few}"


def measure(qrels: Qrels, run: Run) -> Values:
    """Every metric, per query in the order of `qrels`; `run` ranks document ids, best first.

    Grades of 1 and more are relevant to success (whether any is there), recall and MRR; nDCG takes grades as gains,
    those below 0 as 0. A query without results counts 0.
    """
    graded = {query: {d: max(0, grade) for d, grade in grades.items()} for query, grades in qrels.items()}
    scored = {query: {d: -float(rank) for rank, d in enumerate(documents)} for query, documents in run.items()}
    values: dict[tuple[str, str], float] = {
        (str(found.measure), found.query_id): found.value
        for found in ir_measures.iter_calc(list(MEASURES.values()), graded, scored)
    }
    return {name: [values[str(m), query] for query in qrels] for name, m in MEASURES.items()}


def means(values: Values) -> dict[str, float]:
    """Of every metric the mean over the queries."""
    return {name: fmean(of_queries) for name, of_queries in values.items()}


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Difference:
    """Mean gain over the queries, with its percentile bootstrap interval (Efron 1979) and a test."""
    return macro_difference([(before, after)])


def macro_difference(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Difference:
    """Mean over collections of the mean gain; queries are resampled, and flipped, within each collection."""
    draw = np.random.default_rng(SEED)
    gains = [np.subtract(after, before) for before, after in pairs]
    resampled = np.mean([_resampled_means(g, draw) for g in gains], axis=0)
    low, high = np.percentile(resampled, [2.5, 97.5])
    shares = np.concatenate([g / len(g) / len(gains) for g in gains])
    differing = shares[np.abs(shares) > ROUNDING]
    return Difference(
        mean=fmean(float(g.mean()) for g in gains),
        low=float(low),
        high=float(high),
        p=_chance(differing),
        queries=len(shares),
        differing=len(differing),
    )


def _chance(shares: NDArray[np.float64]) -> float:
    """The part of all flips of signs that sum up to as much, either way; of as many as are drawn, with the one seen."""
    sums = np.concatenate([np.abs(signs @ shares) for signs in _flips(len(shares))])
    as_large = int((sums >= abs(shares.sum()) - ROUNDING).sum())
    seen = len(shares) > EXACT
    return (as_large + seen) / (len(sums) + seen)


def _flips(number: int) -> Iterator[NDArray[np.int8]]:
    """Signs of so many gains, a row a flip: all there are, else drawn a few rows at a time, for memory's sake."""
    if number <= EXACT:
        yield np.array(list(product((1, -1), repeat=number)), dtype=np.int8)
        return
    draw = np.random.default_rng(SEED)
    for _ in range(100):
        yield draw.integers(0, 2, size=(RESAMPLES // 100, number), dtype=np.int8) * 2 - 1


def _resampled_means(gains: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    counts = draw.multinomial(len(gains), np.full(len(gains), 1 / len(gains)), size=RESAMPLES)
    means_: NDArray[np.float64] = counts @ gains / len(gains)
    return means_

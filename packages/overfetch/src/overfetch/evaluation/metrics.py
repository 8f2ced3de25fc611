"""Metrics by ir-measures (trec_eval's definitions), and the interval of a paired difference."""

from collections.abc import Mapping, Sequence
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
DECISIVE = "ndcg@10"  # by its interval a reranker is recommended, and a tuned one installed
RESAMPLES, SEED = 10_000, 7

Run = Mapping[str, Sequence[str]]
Values = dict[str, list[float]]


class Interval(Frozen):
    """A mean and the bounds of its 95% bootstrap interval."""

    mean: float
    low: float
    high: float


def measure(qrels: Qrels, run: Run) -> Values:
    """Every metric, per query in the order of `qrels`; `run` ranks document ids, best first.

    Grades of 1 and more are relevant to success (whether any is there), recall and MRR; nDCG takes grades as gains. A
    query without results counts 0.
    """
    scored = {query: {d: -float(rank) for rank, d in enumerate(documents)} for query, documents in run.items()}
    values: dict[tuple[str, str], float] = {
        (str(found.measure), found.query_id): found.value
        for found in ir_measures.iter_calc(list(MEASURES.values()), qrels, scored)
    }
    return {name: [values.get((str(m), query), 0.0) for query in qrels] for name, m in MEASURES.items()}


def means(values: Values) -> dict[str, float]:
    """Of every metric the mean over the queries."""
    return {name: fmean(of_queries) for name, of_queries in values.items()}


def paired_difference(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Mean gain over the queries, with its percentile bootstrap interval (Efron 1979)."""
    return macro_difference([(before, after)])


def macro_difference(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Interval:
    """Mean over collections of the mean gain; queries are resampled within each collection."""
    draw = np.random.default_rng(SEED)
    gains = [np.subtract(after, before) for before, after in pairs]
    resampled = np.mean([_resampled_means(g, draw) for g in gains], axis=0)
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(mean=fmean(float(g.mean()) for g in gains), low=float(low), high=float(high))


def _resampled_means(gains: NDArray[np.float64], draw: np.random.Generator) -> NDArray[np.float64]:
    counts = draw.multinomial(len(gains), np.full(len(gains), 1 / len(gains)), size=RESAMPLES)
    means_: NDArray[np.float64] = counts @ gains / len(gains)
    return means_

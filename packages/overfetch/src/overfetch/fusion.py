"""Two lists to one, as the engines do it: by rank, or by score. Equal scores are ordered by id, wherever they lie."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from overfetch.settings import RetrievalSettings

Scores = Mapping[str, float]


def fuse(lists: Sequence[Scores], settings: RetrievalSettings) -> dict[str, float]:
    """Scores by passage id of all that is in one of the lists, the dense one and, where there is one, BM25's."""
    weights = (1.0, settings.bm25_weight)
    parts = [_share(s, weight, settings) for s, weight in zip(lists, weights, strict=False) if s]
    return {i: sum(part.get(i, 0.0) for part in parts) for part in parts for i in part}


def _share(scores: Scores, weight: float, settings: RetrievalSettings) -> Scores:
    return by_rank(scores, settings.rrf_k, weight) if settings.fusion == "rrf" else _by_score(scores)


def by_rank(scores: Scores, k: int, weight: float = 1.0) -> Scores:
    """Reciprocal Rank Fusion's share of one list; a `weight` makes ranks smaller, as Qdrant has it."""
    ranked = sorted(scores, key=lambda i: (-scores[i], i))
    return {i: 1 / ((rank + 1) / weight + k - 1) for rank, i in enumerate(ranked)}


def _by_score(scores: Scores) -> Scores:
    """Distribution-based fusion's share of one list: 0 to 1 over three sample deviations each side of the mean."""
    values = list(scores.values())
    reach = 3 * (stdev(values) if len(values) > 1 else 0.0)
    low = fmean(values) - reach
    return {i: (s - low) / (2 * reach) if reach else 0.5 for i, s in scores.items()}

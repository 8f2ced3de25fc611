"""Searches of what was known by a moment: the order owes nothing to what is hidden, nor to where it lies."""

from collections.abc import Callable, Sequence

from overfetch.filters import Condition, KnownBy
from overfetch.fusion import fuse
from overfetch.protocols import EncodedQuery
from overfetch.settings import RetrievalSettings
from overfetch.types import Candidate

SPARE = 2  # times what is kept: where scores tie, an engine cuts as its points lie, and here by id

Search = Callable[[RetrievalSettings], list[Candidate]]


def is_bounded(conditions: Sequence[Condition]) -> bool:
    """Whether nothing is to be seen of what became known later."""
    return any(isinstance(condition, KnownBy) for condition in conditions)


def search_known(search: Search, query: EncodedQuery, settings: RetrievalSettings) -> list[Candidate]:
    """The dense and the BM25 list each by `search`, put in order and fused here."""
    if settings.first_stage != "hybrid":
        return _deep(search, settings, settings.top_k)
    stages = ("dense", "bm25") if query.sparse.indices else ("dense",)
    depth = settings.top_k * settings.prefetch
    lists = [_deep(search, settings.model_copy(update={"first_stage": stage}), depth) for stage in stages]
    passages = {c.passage.id: c.passage for found in lists for c in found}
    fused = fuse([{c.passage.id: c.score for c in found} for found in lists], settings)
    return _best([Candidate(passage=passages[i], score=score) for i, score in fused.items()], settings.top_k)


def _deep(search: Search, settings: RetrievalSettings, depth: int) -> list[Candidate]:
    return _best(search(settings.model_copy(update={"top_k": SPARE * depth})), depth)


def _best(found: Sequence[Candidate], count: int) -> list[Candidate]:
    return sorted(found, key=lambda c: (-c.score, c.passage.id))[:count]

"""The whole read path on one page: embed, search `top_k`, rerank, keep `top_n`."""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from itertools import count
from statistics import fmean, pstdev
from typing import NamedTuple

from overfetch.errors import DeadlineExceeded, ModelError, SettingsError
from overfetch.filters import Condition, KnownBy, spell_condition
from overfetch.first_stage import NO_LEADS, FirstStage, StoreSearch, kept_once, search_understood
from overfetch.protocols import Embedder, Reranker, Store
from overfetch.provenance import Provenance
from overfetch.redacting import redacted
from overfetch.settings import RetrievalSettings
from overfetch.types import AsOf, Candidate, Hit, Reading, RerankStatus, Retrieval, Timings
from overfetch.understanding import Understood

log = logging.getLogger(__name__)


class Reranked(NamedTuple):
    """Logits of the first candidates, and how the second stage went."""

    logits: list[float]
    status: RerankStatus
    reason: str | None = None
    truncated_tokens: int | None = 0


def retrieve(
    query: str,
    collection: str,
    *,
    store: Store,
    embedder: Embedder,
    reranker: Reranker,
    expected: Provenance,
    settings: RetrievalSettings,
    conditions: Sequence[Condition] = (),
    as_of: AsOf | None = None,
    understood: Understood | None = None,
    reading: str | None = None,
    include_candidates: bool = False,
) -> Retrieval:
    """Both stages for one query; `as_of` bounds what both may see.

    The query is searched as `understood`, by default as it is written; the second stage reads `reading` with the
    passages, by default the same. `include_candidates` returns all that both stages ordered beside those kept.

    Raises SettingsError on an empty query, CollectionMissing, ProvenanceMismatch, and DeadlineExceeded
    where `deadline_ms` passed and the first stage has nothing to show. A failing reranker raises nothing:
    the hits come in first-stage order and `rerank_status` says so.
    """
    if not query.strip():
        raise SettingsError(f"the query is empty (given {query!r}); write what to search for")
    began = time.monotonic()
    deadline = began + settings.deadline_ms / 1000 if settings.deadline_ms is not None else None
    understood = understood or Understood(text=query)
    vectors = dict(zip(understood.texts, embedder.embed_queries(understood.texts), strict=True))
    embedded = time.monotonic()
    bounds = [*conditions, *([KnownBy(field=as_of.field, end=as_of.moment)] if as_of else [])]
    lists = StoreSearch(store, collection, vectors, bounds, settings, expected)
    understood = lists.known(understood)
    read = reading or understood.text
    found = search_understood(understood, lists, settings)
    candidates = found.candidates
    searched = time.monotonic()
    if deadline is not None and searched > deadline and not candidates:
        raise DeadlineExceeded(f"{settings.deadline_ms} ms passed before {collection!r} returned a candidate")
    reranked = rerank(read, candidates, reranker, settings, deadline)
    ordered = order(candidates, reranked.logits, settings, reranker.spec.order_weight, found.leading)
    return Retrieval(
        query=query,
        collection=collection,
        as_of=as_of,
        understood=_told(query, understood, found),
        read=read,
        hits=ordered[: settings.top_n],
        candidates=ordered if include_candidates else (),
        rerank_status=reranked.status,
        rerank_reason=reranked.reason,
        truncated_tokens=reranked.truncated_tokens,
        timings_ms=_timings(began, embedded, searched, time.monotonic()),
        provenance=_served_by(lists.provenance, reranker),
    )


def _told(query: str, understood: Understood, found: FirstStage) -> Reading | None:
    """What was read into the query; None where it was searched for as it is written."""
    if understood == Understood(text=query):
        return None
    return Reading(
        text=understood.text,
        conditions=tuple(map(spell_condition, understood.conditions)),
        notes=understood.notes,
        given_up=found.given_up,
        missing=found.missing,
    )


def _served_by(stored: Provenance, reranker: Reranker) -> dict[str, str]:
    return {
        "embedder": stored.embedder,
        "reranker": reranker.spec.identity,
        "chunker": stored.chunker,
        "sparse_tokenizer": stored.sparse_tokenizer,
        "indexed": stored.created,
        "library_version": stored.library_version,
    }


def rerank(
    query: str,
    candidates: Sequence[Candidate],
    reranker: Reranker,
    settings: RetrievalSettings,
    deadline: float | None,
) -> Reranked:
    """The second stage; never raises, since the candidates in hand are worth more than an error."""
    if not settings.rerank:
        return Reranked([], "off", "switched off in the settings")
    if not candidates:
        return Reranked([], "skipped", "the first stage found nothing")
    try:
        scores = reranker.score(query, [c.passage.reading for c in candidates], deadline)
        _require_usable(scores.logits, len(candidates))
    except Exception as error:
        reason = redacted(f"{type(error).__name__}: {error}")
        log.warning("reranking %r failed, keeping first-stage order: %s", query, reason)
        return Reranked([], "failed", reason)
    read = len(scores.logits)
    if read == len(candidates):
        return Reranked(scores.logits, "full", None, scores.truncated_tokens)
    reason = f"the deadline of {settings.deadline_ms} ms allowed {read} of {len(candidates)} passages"
    return Reranked(scores.logits, "partial" if read else "skipped", reason, scores.truncated_tokens)


def _require_usable(logits: Sequence[float], passages: int) -> None:
    if len(logits) > passages:
        raise ModelError(f"the reranker returned {len(logits)} scores for {passages} passages")
    if not all(map(math.isfinite, logits)):
        raise ModelError("the reranker returned scores that are not finite numbers")


def order(
    candidates: Sequence[Candidate],
    logits: Sequence[float],
    settings: RetrievalSettings,
    fitted_weight: float,
    leading: Mapping[str, int] = NO_LEADS,
) -> tuple[Hit, ...]:
    """Scored candidates best first, then the rest in first-stage order; one a document if asked.

    The `leading` ones among the scored come before all others, those first that lead by most.
    """
    weight = settings.order_weight if settings.order_weight is not None else fitted_weight
    merit = combine([c.score for c in candidates[: len(logits)]], logits, weight)
    by_merit = sorted(range(len(logits)), key=lambda i: (-leading.get(candidates[i].passage.id, 0), -merit[i]))
    hits: list[Hit] = []
    seen: set[str] = set()
    rank = count(1)
    for index in [*by_merit, *range(len(logits), len(candidates))]:
        candidate = candidates[index]
        if settings.one_per_document and kept_once(candidate.passage, settings) in seen:
            continue
        seen.add(kept_once(candidate.passage, settings))
        hits.append(
            Hit(
                rank=next(rank),
                passage=candidate.passage,
                first_stage_rank=index + 1,
                first_stage_score=candidate.score,
                rerank_score=logits[index] if index < len(logits) else None,
            )
        )
    return tuple(hits)


def combine(first_stage: Sequence[float], logits: Sequence[float], weight: float) -> Sequence[float]:
    """Both scores standardised within the candidates, since their scales differ; `weight` 1 keeps the logits."""
    if weight == 1:
        return logits
    pairs = zip(standardise(first_stage), standardise(logits), strict=True)
    return [(1 - weight) * first + weight * second for first, second in pairs]


def standardise(scores: Sequence[float]) -> list[float]:
    if not scores:
        return []
    mean, spread = fmean(scores), pstdev(scores) or 1.0
    return [(score - mean) / spread for score in scores]


def _timings(began: float, embedded: float, searched: float, done: float) -> Timings:
    pairs = {
        "embed": (began, embedded),
        "search": (embedded, searched),
        "rerank": (searched, done),
        "total": (began, done),
    }
    return Timings(**{stage: round((end - start) * 1000, 2) for stage, (start, end) in pairs.items()})

"""The whole read path on one page: embed, search `top_k`, rerank, keep `top_n`."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from overfetch.errors import DeadlineExceeded, ModelError, SettingsError
from overfetch.filters import Condition, KnownBy, spell_condition
from overfetch.first_stage import FirstStage, StoreSearch, search_understood
from overfetch.leaving import carried
from overfetch.models import ModelSpec
from overfetch.ordering import keep_apart, order
from overfetch.protocols import Embedder, Reranker, Store
from overfetch.provenance import Provenance
from overfetch.redacting import redacted
from overfetch.settings import RetrievalSettings
from overfetch.types import AsOf, Candidate, Reading, RerankStatus, Retrieval, Timings
from overfetch.understanding import Understood

log = logging.getLogger(__name__)


class Reranked(NamedTuple):
    """Logits of the first candidates, and how the second stage went; `spec` is of the faster model where that read."""

    logits: list[float]
    status: RerankStatus
    reason: str | None = None
    truncated_tokens: int | None = 0
    spec: ModelSpec | None = None


class Asked(NamedTuple):
    """One query, what it means, and what the second stage reads beside each passage, by default that meaning's text."""

    query: str
    understood: Understood
    reading: str | None = None

    @property
    def read(self) -> str:
        return self.reading or self.understood.text


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
    return retrieve_parts(
        [Asked(query, understood or Understood(text=query), reading)],
        collection,
        store=store,
        embedder=embedder,
        reranker=reranker,
        expected=expected,
        settings=settings,
        conditions=conditions,
        as_of=as_of,
        include_candidates=include_candidates,
    )[0]


def retrieve_parts(
    asked: Sequence[Asked],
    collection: str,
    *,
    store: Store,
    embedder: Embedder,
    reranker: Reranker,
    expected: Provenance,
    settings: RetrievalSettings,
    conditions: Sequence[Condition] = (),
    as_of: AsOf | None = None,
    include_candidates: bool = False,
    asked_at: float | None = None,
) -> list[Retrieval]:
    """`retrieve` for the parts of one question in one batch: one run of the embedder, and shared runs of the reranker.

    All parts together read no more than `settings.pairs`, and keep no passage twice unless nothing else is found.
    Each reports the milliseconds of the whole. The deadline counts from `asked_at` (`time.monotonic()`), by default
    from now: whoever waited for a turn has that much less.
    """
    for one in asked:
        if not one.query.strip():
            raise SettingsError(f"the query is empty (given {one.query!r}); write what to search for")
    began = time.monotonic()
    deadline = settings.deadline(began if asked_at is None else asked_at)
    settings = settings.shared_by(len(asked))
    texts = list(dict.fromkeys(text for one in asked for text in one.understood.texts))
    vectors = dict(zip(texts, embedder.embed_queries(texts), strict=True))
    embedded = time.monotonic()
    bounds = [*conditions, *([KnownBy(field=as_of.field, end=as_of.moment)] if as_of else [])]
    lists = StoreSearch(store, collection, vectors, bounds, settings, expected)
    asked = [one._replace(understood=lists.known(one.understood), reading=one.read) for one in asked]
    found = [search_understood(one.understood, lists, settings) for one in asked]
    searched = time.monotonic()
    if deadline is not None and searched > deadline and not any(part.candidates for part in found):
        raise DeadlineExceeded(f"{settings.deadline_ms} ms passed before {collection!r} returned a candidate")
    reranked = _side_by_side(
        [
            partial(rerank, one.read, part.candidates, reranker, settings, deadline)
            for one, part in zip(asked, found, strict=True)
        ]
    )
    ordered = [
        order(part.candidates, read.logits, settings, (read.spec or reranker.spec).order_weight, part.leading)
        for part, read in zip(found, reranked, strict=True)
    ]
    kept = keep_apart(ordered, settings.top_n)
    timings = _timings(began, embedded, searched, time.monotonic())
    return [
        Retrieval(
            query=one.query,
            collection=collection,
            as_of=as_of,
            understood=_told(one.query, one.understood, part),
            read=one.read,
            hits=hits,
            candidates=candidates if include_candidates else (),
            rerank_status=read.status,
            rerank_reason=read.reason,
            truncated_tokens=read.truncated_tokens,
            timings_ms=timings,
            provenance=_served_by(lists.provenance, read.spec or reranker.spec, as_of),
        )
        for one, part, read, candidates, hits in zip(asked, found, reranked, ordered, kept, strict=True)
    ]


def _side_by_side(work: Sequence[Callable[[], Reranked]]) -> list[Reranked]:
    """At the same time: what several threads read shares the runs of the model."""
    if len(work) == 1:
        return [work[0]()]
    with ThreadPoolExecutor(len(work), thread_name_prefix="overfetch-parts") as pool:
        return list(pool.map(carried(_do), work))


def _do(work: Callable[[], Reranked]) -> Reranked:
    return work()


def _told(query: str, understood: Understood, found: FirstStage) -> Reading | None:
    """What was read into the query; None where it was searched for as it is written."""
    if understood == Understood(text=query):
        return None
    return Reading(
        text=understood.text,
        conditions=tuple(map(spell_condition, understood.conditions)),
        named=understood.named,
        notes=understood.notes,
        given_up=found.given_up,
        missing=found.missing,
    )


def _served_by(stored: Provenance, reranker: ModelSpec, as_of: AsOf | None) -> dict[str, str]:
    """Under `as_of` without the size of the whole, which tells of what came later, and when it was indexed."""
    whole = {} if as_of else {"indexed": stored.created, "passages": str(stored.passages or 0)}
    budget = {} if reranker.read_tokens is None else {"read_tokens": str(reranker.read_tokens)}
    return (
        whole
        | budget
        | {
            "embedder": stored.embedder,
            "reranker": reranker.identity,
            "chunker": stored.chunker,
            "sparse_tokenizer": stored.sparse_tokenizer,
            "library_version": stored.library_version,
        }
    )


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
        log.warning("reranking failed, keeping first-stage order: %s", reason)
        return Reranked([], "failed", reason)
    read = len(scores.logits)
    status: RerankStatus = "full" if read == len(candidates) else "partial" if read else "skipped"
    reason = f"the deadline of {settings.deadline_ms} ms allowed {read} of {len(candidates)} passages"
    if scores.spec is not None:
        reason += f", read by the faster {scores.spec.name}"
    told = [] if status == "full" and scores.spec is None else [reason]
    spec = scores.spec or reranker.spec
    if scores.truncated_tokens and spec.read_tokens:
        told.append(
            f"{scores.truncated_tokens} tokens of long passages were left out: {spec.read_tokens} a query are read"
        )
    return Reranked(scores.logits, status, "; ".join(told) or None, scores.truncated_tokens, scores.spec)


def _require_usable(logits: Sequence[float], passages: int) -> None:
    if len(logits) > passages:
        raise ModelError(f"the reranker returned {len(logits)} scores for {passages} passages")
    if not all(map(math.isfinite, logits)):
        raise ModelError("the reranker returned scores that are not finite numbers")


def _timings(began: float, embedded: float, searched: float, done: float) -> Timings:
    pairs = {
        "embed": (began, embedded),
        "search": (embedded, searched),
        "rerank": (searched, done),
        "total": (began, done),
    }
    return Timings(**{stage: round((end - start) * 1000, 2) for stage, (start, end) in pairs.items()})

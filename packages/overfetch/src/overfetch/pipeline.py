"""The whole read path on one page: embed, search `top_k`, rerank, keep `top_n`."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from overfetch.errors import DeadlineExceeded, SettingsError
from overfetch.filters import Condition, KnownBy, spell_condition
from overfetch.first_stage import FirstStage, StoreSearch, search_understood
from overfetch.leaving import carried
from overfetch.models import ModelSpec
from overfetch.ordering import keep_apart, order
from overfetch.protocols import Embedder, ListReranker, Reranker, Store
from overfetch.provenance import Provenance
from overfetch.scheduling import until
from overfetch.second_stage import Reranked, rerank
from overfetch.settings import RetrievalSettings
from overfetch.types import AsOf, Reading, Retrieval, Timings
from overfetch.understanding import Understood

Around = Callable[[str, RetrievalSettings, Callable[[], list[Retrieval]]], list[Retrieval]]
"""Called with the name of a collection, the settings, and what retrieves one part or more, with all candidates."""


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
    lister: ListReranker | None = None,
) -> Retrieval:
    """Both stages for one query; `as_of` bounds what both may see.

    The query is searched as `understood`, by default as it is written; the second stage reads `reading` with the
    passages, by default the same. `include_candidates` returns all that both stages ordered beside those kept. Where
    there is a `lister`, it orders the candidates, and the reranker where it does not.

    Raises SettingsError on an empty query, CollectionMissing, ProvenanceMismatch, and DeadlineExceeded where
    `deadline_ms` passed and the first stage has nothing to show (or no server had embedded the query). A failing
    reranker raises nothing: the hits come in first-stage order and `rerank_status` says so.
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
        lister=lister,
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
    lister: ListReranker | None = None,
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
    texts = list(dict.fromkeys(text for one in asked for text in one.understood.embedded))
    with until(deadline) if deadline is not None else nullcontext():
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
            partial(rerank, one.read, part.candidates, reranker, settings, deadline, lister, len(asked))
            for one, part in zip(asked, found, strict=True)
        ]
    )
    weights = [(read.spec or reranker.spec).order_weight for read in reranked]
    ordered = [
        order(part.candidates, read.logits, settings, weight, part.leading, read.listed)
        for part, read, weight in zip(found, reranked, weights, strict=True)
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
            tokens_read=read.tokens_read,
            timings_ms=timings,
            provenance=_served_by(lists.provenance, read, read.spec or reranker.spec, as_of),
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


def _served_by(stored: Provenance, read: Reranked, spec: ModelSpec, as_of: AsOf | None) -> dict[str, str]:
    """Under `as_of` without the size of the whole, which tells of what came later, and when it was indexed."""
    whole = {} if as_of else {"indexed": stored.created, "passages": str(stored.passages or 0)}
    budget = {"read_tokens": str(spec.read_tokens)} if spec.read_tokens and read.listed is None else {}
    made = {
        "embedder": stored.embedder,
        "reranker": read.served_by or spec.identity,
        "chunker": stored.chunker,
        "sparse_tokenizer": stored.sparse_tokenizer,
        "library_version": stored.library_version,
    }
    return whole | budget | made


def _timings(began: float, embedded: float, searched: float, done: float) -> Timings:
    pairs = {
        "embed": (began, embedded),
        "search": (embedded, searched),
        "rerank": (searched, done),
        "total": (began, done),
    }
    return Timings(**{stage: round((end - start) * 1000, 2) for stage, (start, end) in pairs.items()})

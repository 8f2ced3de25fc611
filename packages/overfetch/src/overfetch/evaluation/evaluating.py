"""First stage against reranked, on the judged queries of one collection."""

from collections.abc import Sequence
from statistics import fmean
from typing import Literal, Unpack

import numpy as np
from pydantic import Field

from overfetch.engine import Engine
from overfetch.evaluation.metrics import (
    DECISIVE,
    LEAST,
    RESAMPLES,
    SEED,
    Difference,
    Values,
    means,
    measure,
    paired_difference,
)
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, JudgedQuery, date_bounds
from overfetch.settings import SettingsOptions
from overfetch.types import ALL_READ, Frozen, Hit, Retrieval

Recommendation = Literal["on", "off", "undecided"]


class Percentiles(Frozen):
    """Of what each query took: milliseconds, or tokens."""

    p50: float
    p95: float


class OfKind(Frozen):
    """Means over the queries of one kind, as their writer sorted them."""

    queries: int
    first_stage: dict[str, float]
    reranked: dict[str, float] | None


class Stages(Frozen):
    """Per-query values of both stages, the documents that each `ranked`, by query, and what the searches told."""

    first_stage: Values
    reranked: Values | None
    ranked: dict[str, dict[str, list[str]]]
    rerank_ms: tuple[float, ...]
    not_reranked: int
    fell_back: int
    truncated_tokens: float
    provenance: dict[str, str]


class Evaluation(Frozen):
    """Both stages side by side; what belongs to reranking is None where it is off. Metrics are fractions of 1.

    `recommendation` is by nDCG@10: reranking on where it gains beyond chance (`Difference`), off where it loses.
    `fell_back`: for so many queries the reranker ordered in place of the language model. It left out so many
    `truncated_tokens` of a query's passages, on average. No metric sees more than the `top_k` passages of a query.
    Intervals are of so many `resamples` of the queries, drawn from `seed`. `judgements` has the sha256 of each file
    that judges, where files do; `stages` is what all of this was made of, and no part of the JSON.
    """

    collection: str
    profile: str
    queries: int
    first_stage: dict[str, float]
    reranked: dict[str, float] | None
    difference: dict[str, Difference] | None
    rerank_ms: Percentiles | None
    recommendation: Recommendation | None
    not_reranked: int = 0
    fell_back: int = 0
    truncated_tokens: float = 0.0
    kinds: dict[str, OfKind]
    top_k: int
    resamples: int = RESAMPLES
    seed: int = SEED
    judgements: dict[str, str] = Field(default_factory=dict)
    provenance: dict[str, str]
    stages: Stages = Field(exclude=True, repr=False)


def evaluate(
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    profile: str,
    *,
    literal: bool = False,
    progress: Progress = lambda done, total: None,
    **settings: Unpack[SettingsOptions],
) -> Evaluation:
    """Searches every judged query once without and once with the reranker; `settings` are of RetrievalSettings.

    Each is read as the collection understands it, unless `literal`. All candidates are measured, not only those kept.
    """
    stages = run_stages(engine, collection, judged, literal=literal, progress=progress, **settings)
    reranked = stages.reranked
    difference = {m: paired_difference(stages.first_stage[m], reranked[m]) for m in reranked} if reranked else None
    return Evaluation(
        collection=engine.name_of(collection),
        profile=profile,
        queries=len(judged.queries),
        first_stage=means(stages.first_stage),
        reranked=means(reranked) if reranked else None,
        difference=difference,
        rerank_ms=percentiles(stages.rerank_ms) if reranked else None,
        recommendation=recommend(difference[DECISIVE]) if difference else None,
        not_reranked=stages.not_reranked,
        fell_back=stages.fell_back,
        truncated_tokens=stages.truncated_tokens,
        kinds=of_kinds(judged, stages),
        top_k=engine.site.collection(collection).retrieval.override(**settings).top_k,
        provenance=stages.provenance,
        stages=stages,
    )


def of_kinds(judged: JudgedQueries, stages: Stages) -> dict[str, OfKind]:
    """By kind, in the order of the file; queries without one are in none."""
    places: dict[str, list[int]] = {}
    for place, query in enumerate(judged.queries):
        if query.kind:
            places.setdefault(query.kind, []).append(place)
    return {
        kind: OfKind(
            queries=len(chosen),
            first_stage=means(at(stages.first_stage, chosen)),
            reranked=means(at(stages.reranked, chosen)) if stages.reranked else None,
        )
        for kind, chosen in places.items()
    }


def at(values: Values, places: Sequence[int]) -> Values:
    """Of every metric the values of these queries."""
    return {name: [of_queries[place] for place in places] for name, of_queries in values.items()}


def recommend(gain: Difference) -> Recommendation:
    """Whether to rerank, by what it gained; undecided where fewer than LEAST queries differ."""
    if gain.differing < LEAST:
        return "undecided"
    return "on" if gain.gains else "off" if gain.loses else "undecided"


def run_stages(
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    *,
    literal: bool = False,
    progress: Progress = lambda done, total: None,
    **settings: Unpack[SettingsOptions],
) -> Stages:
    """Per-query values of both stages. A query that could not be reranked in full is counted, never left out."""
    first_stage: SettingsOptions = {**settings, "rerank": False}
    both: SettingsOptions = {**settings, "rerank": True}
    rerank = settings.get("rerank") is not False
    if rerank:
        engine.warm_up()
    plain: list[Retrieval] = []
    read: list[Retrieval] = []
    for done, query in enumerate(judged.queries, start=1):
        plain.append(search_judged(engine, collection, query, literal=literal, **first_stage))
        if rerank:
            read.append(search_judged(engine, collection, query, literal=literal, **both))
        progress(done, len(judged.queries))
    ranked = {"first_stage": by_query(judged, plain), **({"reranked": by_query(judged, read)} if rerank else {})}
    values = {stage: measure(judged.qrels, run) for stage, run in ranked.items()}
    return Stages(
        first_stage=values["first_stage"],
        reranked=values.get("reranked"),
        ranked=ranked,
        rerank_ms=tuple(r.timings_ms.rerank for r in read),
        not_reranked=sum(bool(r.hits) and r.rerank_status not in ALL_READ for r in read),
        fell_back=sum(r.rerank_status == "fallback" for r in read),
        truncated_tokens=fmean(r.truncated_tokens or 0 for r in read) if read else 0.0,
        provenance=dict(next((r for r in read if r.rerank_status == "listwise"), plain[0]).provenance),
    )


def search_judged(
    engine: Engine, collection: str, query: JudgedQuery, *, literal: bool = False, **settings: Unpack[SettingsOptions]
) -> Retrieval:
    """One search within the query's own dates, with all its candidates; `settings` are of RetrievalSettings."""
    where = list(date_bounds(engine.site.collection(collection).date, query))
    return engine.search(
        collection, query.text, where=where, as_of=query.as_of, literal=literal, include_candidates=True, **settings
    )


def measured(judged: JudgedQueries, retrievals: Sequence[Retrieval]) -> Values:
    """Every metric of the documents as they were ranked, one retrieval a query."""
    return measure(judged.qrels, by_query(judged, retrievals))


def by_query(judged: JudgedQueries, retrievals: Sequence[Retrieval]) -> dict[str, list[str]]:
    """Under each query's id those of its documents as they were ranked."""
    return {q.id: documents(r.candidates) for q, r in zip(judged.queries, retrievals, strict=True)}


def documents(hits: Sequence[Hit]) -> list[str]:
    """Ids, each at its best passage's place."""
    return list(dict.fromkeys(hit.passage.document_id for hit in hits))


def percentiles(values: Sequence[float]) -> Percentiles:
    """Rounded to a tenth."""
    p50, p95 = np.percentile(values, [50, 95])
    return Percentiles(p50=round(float(p50), 1), p95=round(float(p95), 1))

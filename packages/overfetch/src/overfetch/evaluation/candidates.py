"""Candidates of judged queries: found once, then ordered in as many ways as are to be compared."""

from collections.abc import Sequence
from typing import Unpack

from overfetch.engine import Engine
from overfetch.evaluation.evaluating import search_judged
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries
from overfetch.ordering import combine
from overfetch.settings import SettingsOptions
from overfetch.types import Frozen


class Candidates(Frozen):
    """What the first stage found for one query, best first: one passage a document."""

    query_id: str
    query: str
    documents: tuple[str, ...]
    passages: tuple[str, ...]
    scores: tuple[float, ...]


def find_candidates(
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    *,
    progress: Progress = lambda done, total: None,
    **settings: Unpack[SettingsOptions],
) -> list[Candidates]:
    """The first stage for every judged query; `settings` are of RetrievalSettings."""
    found = []
    first_stage: SettingsOptions = {**settings, "rerank": False}
    for done, query in enumerate(judged.queries, start=1):
        hits = search_judged(engine, collection, query, **first_stage).candidates
        found.append(
            Candidates(
                query_id=query.id,
                query=query.text,
                documents=tuple(hit.passage.document_id for hit in hits),
                passages=tuple(hit.passage.reading for hit in hits),
                scores=tuple(hit.first_stage_score for hit in hits),
            )
        )
        progress(done, len(judged.queries))
    return found


def rank(candidates: Candidates, logits: Sequence[float], weight: float) -> list[str]:
    """Document ids by the weighted score of both stages, as the pipeline orders them."""
    merit = combine(candidates.scores, logits, weight)
    return [candidates.documents[i] for i in sorted(range(len(merit)), key=lambda i: -merit[i])]

"""Fits when an answer is refused, on judged questions of which some have none, and tells how well that does."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from overfetch.engine import Engine
from overfetch.errors import SettingsError
from overfetch.evaluation.evaluating import search_judged
from overfetch.evaluation.logistic import Logistic, Vector, cross_validated, fit
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, JudgedQuery, read_judged_queries, read_unanswerable
from overfetch.provenance import installed_version
from overfetch.refusing import Evidence, FittedOn, RefusalRule, made_by
from overfetch.types import Frozen

FEATURES = tuple(Evidence.model_fields)
LEVELS = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20)  # shares wrongly refused
LEAST = 5  # questions of either kind, one for each fold


class Point(Frozen):
    """Below `threshold`, and by what the first stage misses, that share of the answerable questions is refused
    `wrongly`, and that of the unanswerable ones `refused`."""

    wrongly: float
    refused: float
    threshold: float


class Refusals(Frozen):
    """What is refused of the judged questions: by the first stage alone, and with the rule, cross-validated.

    `unread`: questions whose candidates were not all read, of which the rule says nothing.
    """

    collection: str
    answerable: int
    unanswerable: int
    first_stage: Point
    curve: tuple[Point, ...]
    unread: int
    rule: RefusalRule


class Asked(NamedTuple):
    """A judged question: whether anything answers it, whether the first stage refuses it, what reading it showed."""

    answerable: bool
    missing: bool
    evidence: Evidence | None


def fit_refusals(
    engine: Engine,
    collection: str,
    folder: Path,
    split: str,
    *,
    wrongly: float = 0.05,
    progress: Progress = lambda done, total: None,
) -> Refusals:
    """Searches each question once; the rule wrongly refuses no more than that share of those that have an answer.

    Raises SettingsError where too few are judged, or could be read in full.
    """
    judged, unanswerable = read_judged_queries(folder, split), read_unanswerable(folder, split)
    questions = [*((query, True) for query in judged.queries), *((query, False) for query in unanswerable)]
    asked: list[Asked] = []
    for done, (query, answerable) in enumerate(questions, start=1):
        found = search_judged(engine, collection, query, rerank_lm=False)  # rules are over scores
        missing = bool(found.understood and found.understood.missing)
        asked.append(Asked(answerable, missing, Evidence.of(found)))
        progress(done, len(questions))
    model, probabilities = _fitted(asked)
    curve = [point(asked, probabilities, level) for level in LEVELS]
    chosen = point(asked, probabilities, wrongly)
    name = engine.name_of(collection)
    stored = engine.store.provenance(name)
    rule = RefusalRule(
        collection=name,
        made_by=made_by(found),
        settings=engine.site.collection(collection).retrieval,
        weights=dict(zip(FEATURES, map(float, model.weights), strict=True)),
        bias=model.bias,
        threshold=chosen.threshold,
        fitted_on=FittedOn(
            judgements=_hash(judged, unanswerable),
            corpus=stored.corpus_hash,
            passages=stored.passages or 0,
            answerable=len(judged.queries),
            unanswerable=len(unanswerable),
            refused=chosen.refused,
            wrongly=chosen.wrongly,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            library_version=installed_version(),
        ),
    )
    return Refusals(
        collection=name,
        answerable=len(judged.queries),
        unanswerable=len(unanswerable),
        first_stage=_shares(asked, probabilities, 0.0),
        curve=tuple(curve),
        unread=sum(one.evidence is None for one in asked),
        rule=rule,
    )


def _fitted(asked: Sequence[Asked]) -> tuple[Logistic, Vector]:
    """The model, and the probability that each question has an answer by models that did not see it; 1 where the
    rule has no say."""
    told = [(place, one.evidence) for place, one in enumerate(asked) if one.evidence and not one.missing]
    places = [place for place, _ in told]
    labels = np.array([asked[place].answerable for place in places], dtype=float)
    if min(labels.sum(), len(labels) - labels.sum()) < LEAST:
        raise SettingsError(
            f"{len(labels)} questions are left to the rule, {int(labels.sum())} of them answerable: it takes {LEAST} "
            'of either kind, unanswerable ones with `"answerable": false, "split": SPLIT` in queries.jsonl'
        )
    features = np.array([[getattr(evidence, name) for name in FEATURES] for _, evidence in told])
    probabilities = np.ones(len(asked))
    probabilities[places] = cross_validated(features, labels)
    return fit(features, labels), probabilities


def point(asked: Sequence[Asked], probabilities: Vector, wrongly: float) -> Point:
    """Refuses as many as can be with no more than that share of the answerable; among those thresholds the lowest."""
    answerable = np.array([one.answerable for one in asked])
    missing = np.array([one.missing for one in asked])
    allowed = int(wrongly * answerable.sum() + 1e-9) - int((answerable & missing).sum())
    left = np.sort(probabilities[answerable & ~missing])
    limit = 0.0 if allowed < 0 else left[allowed] if allowed < len(left) else 1.0
    told = probabilities[~answerable & ~missing & (probabilities < limit)]
    return _shares(asked, probabilities, float(np.nextafter(told.max(), 1.0)) if len(told) else 0.0)


def _shares(asked: Sequence[Asked], probabilities: Vector, threshold: float) -> Point:
    answerable = np.array([one.answerable for one in asked])
    refused = np.array([one.missing for one in asked]) | (probabilities < threshold)
    return Point(
        wrongly=float(refused[answerable].mean()), refused=float(refused[~answerable].mean()), threshold=threshold
    )


def _hash(judged: JudgedQueries, unanswerable: Sequence[JudgedQuery]) -> str:
    said = judged.said() + "".join(query.model_dump_json(exclude={"kind"}) for query in unanswerable)
    return hashlib.sha256(said.encode()).hexdigest()

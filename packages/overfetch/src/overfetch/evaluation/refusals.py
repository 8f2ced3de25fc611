"""Fits when an answer is refused, on judged questions of which some have none, and tells how well that does."""

import hashlib
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from overfetch.engine import Engine
from overfetch.errors import SettingsError
from overfetch.evaluation.evaluating import search_judged
from overfetch.evaluation.logistic import FOLDS, SEED, Logistic, Mask, Vector, cross_validated, fit, folds
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, JudgedQuery, read_judged_queries, read_unanswerable, require_unjudged
from overfetch.provenance import installed_version
from overfetch.refusing import Evidence, FittedOn, RefusalRule, made_by
from overfetch.types import Frozen

FEATURES = tuple(Evidence.model_fields)
LEVELS = (0.0, 0.01, 0.02, 0.05, 0.10, 0.20)  # shares wrongly refused
LEAST = 20  # judged questions of either kind
NORMAL = 1.96  # standard deviations that hold 95%


class Share(Frozen):
    """A `count` of so many, and the bounds of its 95% interval (Wilson 1927)."""

    count: int
    of: int
    share: float
    low: float
    high: float

    @classmethod
    def of_all(cls, refused: Mask) -> Self:
        count, of = int(refused.sum()), len(refused)
        share, penalty = count / of, NORMAL**2 / of
        middle = share + penalty / 2
        spread = math.sqrt(penalty * (share * (1 - share) + penalty / 4))
        low, high = ((middle + side) / (1 + penalty) for side in (-spread, spread))
        return cls(count=count, of=of, share=share, low=max(0.0, low), high=min(1.0, high))


class Refused(Frozen):
    """So many of the answerable questions are refused `wrongly`, and so many of the unanswerable ones `refused`."""

    wrongly: Share
    refused: Share


class Point(Refused):
    """What is refused below `threshold`, and by what the first stage misses."""

    threshold: float


class Refusals(Frozen):
    """What is refused of the judged questions: by the first stage alone, and with the rule.

    Of the `curve` weights are cross-validated, and thresholds chosen on the same questions, which flatters it; of
    `held_out` neither had seen the question. `pays`: whether the rule refuses anything that the first stage does not.
    `unread`: questions whose candidates were not all read, of which the rule says nothing.
    """

    collection: str
    answerable: int
    unanswerable: int
    first_stage: Point
    curve: tuple[Point, ...]
    held_out: Refused
    pays: bool
    unread: int
    rule: RefusalRule


class Asked(NamedTuple):
    """A judged question: whether anything answers it, whether the first stage refuses it, what reading it showed."""

    answerable: bool
    missing: bool
    evidence: Evidence | None

    @property
    def left(self) -> bool:
        """To the rule."""
        return self.evidence is not None and not self.missing


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

    Raises SettingsError where too few are judged, or could be read in full, and where one is judged to be both.
    """
    judged, unanswerable = read_judged_queries(folder, split), read_unanswerable(folder, split)
    require_unjudged(unanswerable, judged)
    _require(LEAST, len(judged.queries), len(unanswerable), "judged")
    questions = [*((query, True) for query in judged.queries), *((query, False) for query in unanswerable)]
    asked: list[Asked] = []
    for done, (query, answerable) in enumerate(questions, start=1):
        found = search_judged(engine, collection, query, rerank_lm=False)  # rules are over scores
        missing = bool(found.understood and found.understood.missing)
        asked.append(Asked(answerable, missing, Evidence.of(found)))
        progress(done, len(questions))
    left = sum(one.left and one.answerable for one in asked)
    _require(FOLDS, left, sum(one.left for one in asked) - left, "left to the rule")
    model, probabilities = _fitted(asked)
    first_stage, chosen = shares(asked, probabilities, 0.0), point(asked, probabilities, wrongly)
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
            refused=chosen.refused.share,
            wrongly=chosen.wrongly.share,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            library_version=installed_version(),
        ),
    )
    return Refusals(
        collection=name,
        answerable=len(judged.queries),
        unanswerable=len(unanswerable),
        first_stage=first_stage,
        curve=tuple(point(asked, probabilities, level) for level in resolved(len(judged.queries))),
        held_out=held_out(asked, wrongly),
        pays=chosen.refused.count > first_stage.refused.count,
        unread=sum(one.evidence is None for one in asked),
        rule=rule,
    )


def _require(least: int, answerable: int, unanswerable: int, told: str) -> None:
    if min(answerable, unanswerable) < least:
        raise SettingsError(
            f"{answerable} answerable and {unanswerable} unanswerable questions are {told}: it takes {least} of either "
            'kind, unanswerable ones with `"answerable": false, "split": SPLIT` in queries.jsonl'
        )


def resolved(answerable: int) -> list[float]:
    """The levels that so many questions can tell from 0."""
    return [level for level in LEVELS if not level or level * answerable >= 1]


def _fitted(asked: Sequence[Asked]) -> tuple[Logistic, Vector]:
    """The model, and the probability that each question has an answer by models that did not see it; 1 where the
    rule has no say."""
    left = np.array([one.left for one in asked])
    features, labels = _features(asked), np.array([one.answerable for one in asked], dtype=float)[left]
    probabilities = np.ones(len(asked))
    probabilities[left] = cross_validated(features, labels)
    return fit(features, labels), probabilities


def _features(asked: Sequence[Asked]) -> Vector:
    told = [[getattr(one.evidence, name) for name in FEATURES] for one in asked if one.left]
    return np.array(told, dtype=float).reshape(-1, len(FEATURES))


def held_out(asked: Sequence[Asked], wrongly: float) -> Refused:
    """What weights and threshold of the other folds refuse of each."""
    kinds = np.array([2.0 * one.answerable + one.left for one in asked])
    left, refused = np.array([one.left for one in asked]), np.array([one.missing for one in asked])
    for fold in folds(kinds, np.random.default_rng(SEED)):
        seen, unseen = ([one for one, own in zip(asked, fold, strict=True) if own == held] for held in (False, True))
        model, probabilities = _fitted(seen)
        refused[fold & left] = model.probabilities(_features(unseen)) < point(seen, probabilities, wrongly).threshold
    return Refused(**_shares(asked, refused))


def point(asked: Sequence[Asked], probabilities: Vector, wrongly: float) -> Point:
    """Refuses as many as can be with no more than that share of the answerable; among those thresholds the lowest."""
    answerable = np.array([one.answerable for one in asked])
    missing = np.array([one.missing for one in asked])
    allowed = int(wrongly * answerable.sum() + 1e-9) - int((answerable & missing).sum())
    left = np.sort(probabilities[answerable & ~missing])
    limit = 0.0 if allowed < 0 else left[allowed] if allowed < len(left) else 1.0
    told = probabilities[~answerable & ~missing & (probabilities < limit)]
    return shares(asked, probabilities, float(np.nextafter(told.max(), 1.0)) if len(told) else 0.0)


def shares(asked: Sequence[Asked], probabilities: Vector, threshold: float) -> Point:
    refused = np.array([one.missing for one in asked]) | (probabilities < threshold)
    return Point(**_shares(asked, refused), threshold=threshold)


def _shares(asked: Sequence[Asked], refused: Mask) -> dict[str, Share]:
    answerable = np.array([one.answerable for one in asked])
    return {"wrongly": Share.of_all(refused[answerable]), "refused": Share.of_all(refused[~answerable])}


def _hash(judged: JudgedQueries, unanswerable: Sequence[JudgedQuery]) -> str:
    said = judged.said() + "".join(query.model_dump_json(exclude={"kind"}) for query in unanswerable)
    return hashlib.sha256(said.encode()).hexdigest()

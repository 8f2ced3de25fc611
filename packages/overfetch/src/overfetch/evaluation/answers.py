"""How well a collection answers its judged questions: do citations hold, cover the text and point the right way."""

import time
from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from overfetch.engine import Engine
from overfetch.evaluation.evaluating import Percentiles, percentiles
from overfetch.evaluation.metrics import Interval, paired_difference
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, date_bounds
from overfetch.types import Answer, Frozen


class AnswerEvaluation(Frozen):
    """Means over the questions, fractions of 1, with their 95% bootstrap intervals.

    `held`: citations given that hold. `coverage`: sentences with one. `precision`: cited documents that are judged
    relevant. `cited`: questions with a relevant document among the cited ones. `modes` counts how they were answered.
    """

    collection: str
    questions: int
    lm: str | None
    metrics: dict[str, Interval]
    modes: dict[str, int]
    reasons: dict[str, int]
    answer_ms: Percentiles


def evaluate_answers(
    engine: Engine, collection: str, judged: JudgedQueries, *, progress: Progress = lambda done, total: None
) -> AnswerEvaluation:
    """Asks every judged question once, within its own dates."""
    engine.warm_up()
    answers: list[Answer] = []
    milliseconds: list[float] = []
    bounded_by = engine.site.collection(collection).date
    for done, query in enumerate(judged.queries, start=1):
        began = time.monotonic()
        where = list(date_bounds(bounded_by, query))
        answers.append(engine.ask(query.text, collection=collection, where=where, as_of=query.as_of))
        milliseconds.append((time.monotonic() - began) * 1000)
        progress(done, len(judged.queries))
    relevant = [{d for d, grade in judged.qrels[query.id].items() if grade > 0} for query in judged.queries]
    values = {
        "held": [_held(answer) for answer in answers],
        "coverage": [answer.coverage or 0.0 for answer in answers],
        "precision": [_precision(answer, right) for answer, right in zip(answers, relevant, strict=True)],
        "cited": [float(_precision(answer, right) > 0) for answer, right in zip(answers, relevant, strict=True)],
    }
    return AnswerEvaluation(
        collection=engine.name_of(collection),
        questions=len(answers),
        lm=engine.lm.name if engine.lm else None,
        metrics={name: _mean(of_questions) for name, of_questions in values.items()},
        modes=dict(Counter(answer.mode if answer.found else f"{answer.mode}, not found" for answer in answers)),
        reasons=dict(Counter(answer.reason for answer in answers if answer.reason)),
        answer_ms=percentiles(milliseconds),
    )


def _held(answer: Answer) -> float:
    given = len(answer.citations) + len(answer.refused)
    return len(answer.citations) / given if given else 0.0


def _precision(answer: Answer, relevant: set[str]) -> float:
    cited = {citation.document_id for citation in answer.citations}
    return len(cited & relevant) / len(cited) if cited else 0.0


def _mean(values: Sequence[float]) -> Interval:
    found = paired_difference([0.0] * len(values), values)
    return Interval(mean=fmean(values), low=found.low, high=found.high)

"""The whole of `overfetch compile`: search once, optimise on train and dev, compare on test, save if better."""

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any

import dspy

from overfetch import AnswerError, Engine, LanguageModel, Retrieval, SettingsError, parse_date
from overfetch.evaluation.evaluating import search_judged
from overfetch.evaluation.metrics import Difference, paired_difference
from overfetch.judged import JudgedQueries, require_apart
from overfetch_answers.explaining import answer_errors
from overfetch_answers.guarding import answer_quality
from overfetch_answers.language_model import build_language_model
from overfetch_answers.optimizing import ANY_ERRORS, THREADS, Optimizer, Task, optimize, quiet
from overfetch_answers.programs import Strict, provenance_of, save_program
from overfetch_answers.recording import Progress, RecordingEngine, recorded
from overfetch_answers.replies import ReplyAdapter
from overfetch_answers.retriever import Retriever
from overfetch_answers.running import Answers

LEAST_QUERIES = 8

Watch = Callable[[str], AbstractContextManager[Progress]]


class Compilation(Strict):
    """How the compiled program did on the test part, what it cost, and where it was saved.

    `before` and `after` are means of `answer_quality`, fractions of 1; calls and tokens are those of everything.
    """

    collection: str
    optimizer: str
    lm: str
    seed: int
    train_queries: int
    dev_queries: int
    test_queries: int
    before: float
    after: float
    difference: Difference
    calls: int
    replayed_calls: int
    input_tokens: int
    output_tokens: int
    saved: str | None
    reason: str


def compile_answers(
    engine: Engine,
    collection: str,
    learning: JudgedQueries,
    test: JudgedQueries,
    *,
    optimizer: Optimizer,
    lm: LanguageModel | dspy.LM,
    budget: int,
    log: Path,
    watch: Watch,
    out: Path | None = None,
    seed: int = 0,
) -> Compilation:
    """Compiles the collection's answer module; saved where it is better on `test` beyond chance (`Difference`).

    `learning` is halved into train and dev. `budget` bounds the calls while optimising; the two evaluations come on
    top. Raises SettingsError and AnswerError.
    """
    require_apart(learning, test)
    answers = find_answers(engine, collection)
    model, calls = recorded(build_language_model(lm) if isinstance(lm, LanguageModel) else lm, log)
    with answer_errors(lm if isinstance(lm, LanguageModel) else LanguageModel(name=lm.model)):
        model("Reply with one word.")  # one failing call tells what hundreds would
    with watch("searching") as progress:
        found = _search(engine, collection, [learning, test], progress)
    train, dev = _halves(_examples(learning), seed)
    held_out = _examples(test)
    student = answers.module(Retriever(lambda question: found[question]))
    with watch("before") as progress:
        before = _evaluate(student, held_out, model, calls, progress)
    with watch("optimising") as progress, calls.watched(progress, budget, limited=True):
        compiled = optimize(Task(student, train, dev, model, budget, seed), optimizer)
    with watch("after") as progress:
        after = _evaluate(compiled, held_out, model, calls, progress)
    difference = paired_difference(before, after)
    summary: dict[str, Any] = {
        "collection": engine.name_of(collection),
        "optimizer": optimizer,
        "lm": model.model,
        "seed": seed,
        "train_queries": len(train),
        "dev_queries": len(dev),
        "test_queries": len(held_out),
        "before": fmean(before),
        "after": fmean(after),
        "difference": difference,
        "calls": calls.calls,
        "replayed_calls": calls.replayed,
        "input_tokens": calls.input_tokens,
        "output_tokens": calls.output_tokens,
    }
    if not difference.gains:
        reason = f"not better on the test part beyond chance ({difference.told})"
        return Compilation(**summary, saved=None, reason=reason)
    path = out or answers.program_path(engine.name_of(collection))
    provenance = provenance_of(found[held_out[0].question][0], model.model)
    report = {**summary, "difference": difference.model_dump()}
    known = latest_known(engine.site.collection(collection).known_at, [learning, test], found.values())
    save_program(compiled, path, student=student, provenance=provenance, known_until=known, report=report)
    return Compilation(**summary, saved=str(path), reason="better on the test part")


def find_answers(engine: Engine, collection: str) -> Answers:
    """The `Answers` that the collection names. Raises AnswerError and SettingsError."""
    module = engine.site.collection(collection).answering
    function = engine.answer_function(collection)
    if not isinstance(function, Answers):
        raise SettingsError(f"{module!r} is no overfetch_answers.Answers: only those hold a DSPy module to compile")
    return function


def _search(engine: Engine, collection: str, judged: Sequence[JudgedQueries], progress: Progress) -> dict[str, Any]:
    """The retrievals of every question, found once: optimisers ask each of them many times."""
    queries = [query for part in judged for query in part.queries]
    found: dict[str, tuple[Retrieval, ...]] = {}
    for done, query in enumerate(queries, start=1):
        found[query.text] = (search_judged(engine, collection, query),)
        progress(done, len(queries))
    return found


def latest_known(
    field: str | None, judged: Sequence[JudgedQueries], found: Iterable[tuple[Retrieval, ...]]
) -> datetime | None:
    """When the last of it became known: passages that were read, and questions that say as of when they were asked.
    None where a passage has no such date.
    """
    read = [str(hit.passage.metadata.get(field or "")) for parts in found for part in parts for hit in part.hits]
    asked = [query.as_of for part in judged for query in part.queries if query.as_of]
    try:
        moments = [*map(parse_date, read), *(parse_date(day, end_of_day=True) for day in asked)]
    except SettingsError:
        return None
    return max(moments, default=None)


def _examples(judged: JudgedQueries) -> list[dspy.Example]:
    return [
        dspy.Example(
            question=query.text, relevant=[d for d, grade in judged.qrels[query.id].items() if grade > 0]
        ).with_inputs("question")
        for query in judged.queries
    ]


def _halves(examples: list[dspy.Example], seed: int) -> tuple[list[dspy.Example], list[dspy.Example]]:
    if len(examples) < LEAST_QUERIES:
        raise SettingsError(f"{len(examples)} queries to learn from; at least {LEAST_QUERIES} are needed: judge more")
    random.Random(seed).shuffle(examples)
    return examples[::2], examples[1::2]


def _evaluate(
    program: dspy.Module, examples: list[dspy.Example], lm: dspy.LM, calls: RecordingEngine, progress: Progress
) -> list[float]:
    """`answer_quality` of each example in order; an answer that fails counts 0, and where all fail that is an error."""
    run = dspy.Evaluate(
        devset=examples, metric=answer_quality, num_threads=THREADS, display_progress=False, max_errors=ANY_ERRORS
    )
    reading = dspy.context(lm=lm, adapter=ReplyAdapter(), disable_history=True)
    with quiet(), reading, calls.watched(progress, len(examples)):
        results = run(program).results
        if not any(prediction for _, prediction, _ in results):
            with answer_errors(LanguageModel(name=lm.model)):
                program(**examples[0].inputs())  # says what is wrong: DSPy only logs it
            raise AnswerError(f"language model {lm.model!r} answered none of {len(examples)} questions: try again")
    return [float(score) for _, _, score in results]

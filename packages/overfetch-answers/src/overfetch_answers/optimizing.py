"""DSPy's optimisers, sized to a budget of calls."""

import contextlib
import io
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import dspy
from tqdm import tqdm

from overfetch import SettingsError
from overfetch_answers.guarding import answer_quality, quality_with_feedback
from overfetch_answers.replies import ReplyAdapter

Optimizer = Literal["bootstrap", "random", "mipro", "gepa"]

DEMONSTRATIONS = 3
THREADS = 4
CANDIDATES = 4
# The rest is for reflecting.
GEPA_SHARE = 0.9
# Failed calls must not end an optimisation that has good candidates already: where the budget is spent, all fail.
ANY_ERRORS = 10**9


class Task(NamedTuple):
    """What is to be compiled, on which examples, by which language model and at what cost."""

    student: dspy.Module
    train: list[dspy.Example]
    dev: list[dspy.Example]
    lm: dspy.LM
    budget: int
    seed: int = 0


def optimize(task: Task, optimizer: Optimizer) -> dspy.Module:
    """The compiled student. Raises SettingsError."""
    compilers = {"bootstrap": _bootstrap, "random": _random, "mipro": _mipro, "gepa": _gepa}
    with quiet(), dspy.context(lm=task.lm, adapter=ReplyAdapter(), disable_history=True):
        return compilers[optimizer](task)


def _bootstrap(task: Task) -> dspy.Module:
    """Demonstrations that the metric finds perfect; `dev` teaches too, since nothing is chosen by it."""
    optimizer = dspy.BootstrapFewShot(
        metric=answer_quality,
        max_bootstrapped_demos=DEMONSTRATIONS,
        max_labeled_demos=0,
        max_errors=ANY_ERRORS,
    )
    return optimizer.compile(task.student, trainset=[*task.train, *task.dev])


def _random(task: Task) -> dspy.Module:
    """Sets of demonstrations, the best on `dev`: three fixed, and as many random ones as the budget has room for."""
    each = len(task.train) + len(task.dev)
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=answer_quality,
        max_bootstrapped_demos=DEMONSTRATIONS,
        max_labeled_demos=0,
        num_candidate_programs=min(16, max(1, task.budget // each - 3)),
        num_threads=THREADS,
        max_errors=ANY_ERRORS,
    )
    return optimizer.compile(task.student, trainset=task.train, valset=task.dev)


def _mipro(task: Task) -> dspy.Module:
    """Instructions and demonstrations together (Opsahl-Ong et al. 2024)."""
    if find_spec("optuna") is None:
        raise SettingsError("MIPROv2 needs optuna: uv add 'overfetch-answers[mipro]', in a clone uv run --extra mipro")
    optimizer = dspy.MIPROv2(
        metric=answer_quality,
        prompt_model=task.lm,
        task_model=task.lm,
        max_bootstrapped_demos=DEMONSTRATIONS,
        max_labeled_demos=0,
        auto=None,
        num_candidates=CANDIDATES,
        num_threads=THREADS,
        max_errors=ANY_ERRORS,
        seed=task.seed,
    )
    trials = min(20, max(2, (task.budget - CANDIDATES * len(task.train)) // len(task.dev)))
    return optimizer.compile(
        task.student, trainset=task.train, valset=task.dev, num_trials=trials, minibatch=False, seed=task.seed
    )


def _gepa(task: Task) -> dspy.Module:
    """Instructions rewritten by reflecting on the guard's feedback (Agrawal et al. 2025)."""
    optimizer = dspy.GEPA(
        metric=_feedback,
        max_metric_calls=max(len(task.dev) + 1, int(task.budget * GEPA_SHARE)),
        reflection_lm=task.lm,
        num_threads=THREADS,
        seed=task.seed,
    )
    return optimizer.compile(task.student, trainset=task.train, valset=task.dev)


def _feedback(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:  # noqa: ARG001
    """GEPA counts the parameters of a metric."""
    return quality_with_feedback(gold, pred)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Optimisers print, log and draw bars of their every step: stdout stays for the result, which tells enough."""
    loggers = [logging.getLogger(name) for name in ("dspy", "optuna", "gepa")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    begin = tqdm.__init__

    def undrawn(bar: Any, *args: Any, **options: Any) -> None:
        begin(bar, *args, **{**options, "disable": True})

    tqdm.__init__ = undrawn
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tqdm.__init__ = begin
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

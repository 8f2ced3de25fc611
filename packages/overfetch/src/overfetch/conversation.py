"""Questions in a chat: what is searched for where a question leans on earlier turns."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from overfetch.answering import encodable, errors_of, load_answer_function
from overfetch.errors import AnswerError
from overfetch.leaving import in_thread
from overfetch.types import LanguageModel, Turn

log = logging.getLogger(__name__)

KEPT_TURNS = 4


def standalone(question: str, history: Sequence[Turn], answering: str, lm: LanguageModel | None) -> str:
    """The question after the one before it; where the language model rewrites, as that would ask it alone.

    The turn before is the default since it costs nothing and was measured (tests/bench/follow_ups.py). Rewriting is
    the answer module's: its `rewrite`.
    """
    rewritten = ""
    if history and lm is not None and lm.rewrites:
        with _left_out():
            rewrite = getattr(load_answer_function(answering), "rewrite", None)
            with errors_of(answering):
                rewritten = _words(rewrite(question, history, lm)) if rewrite else ""
    return rewritten or carry_over(question, history)


async def standalone_async(question: str, history: Sequence[Turn], answering: str, lm: LanguageModel | None) -> str:
    """`standalone`; waiting for the model takes no thread where the module has `arewrite`, the same as a coroutine."""
    rewritten = ""
    if history and lm is not None and lm.rewrites:
        with _left_out():
            function = await in_thread(load_answer_function, answering)
            if not hasattr(function, "arewrite"):
                return await in_thread(standalone, question, history, answering, lm)
            with errors_of(answering):
                rewritten = _words(await function.arewrite(question, history, lm))
    return rewritten or carry_over(question, history)


def _words(rewritten: object) -> str:
    """Empty where there is nothing: a model may say null."""
    words = encodable(str(rewritten)).strip()
    return "" if words == "None" else words


@contextmanager
def _left_out() -> Iterator[None]:
    """A model that fails costs the rewriting, not the search."""
    try:
        yield
    except AnswerError as error:
        log.warning("searching with the turn before the question: %s", error)


def carry_over(question: str, history: Sequence[Turn]) -> str:
    """The question after the one before it."""
    return f"{history[-1].question} {question}" if history else question

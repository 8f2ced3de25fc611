"""Questions in a chat: what is searched for where a question leans on earlier turns."""

import logging
from collections.abc import Sequence

from overfetch.answering import load_answer_function
from overfetch.errors import AnswerError
from overfetch.types import LanguageModel, Turn

log = logging.getLogger(__name__)

KEPT_TURNS = 4


def standalone(question: str, history: Sequence[Turn], answering: str, lm: LanguageModel | None) -> str:
    """The question after the one before it; where the language model rewrites, as that would ask it alone.

    The turn before is the default since it costs nothing and was measured (tests/bench/follow_ups.py). Rewriting is
    the answer module's: its `rewrite`.
    """
    if history and lm is not None and lm.rewrites:
        try:
            rewrite = getattr(load_answer_function(answering), "rewrite", None)
            if rewrite is not None and (rewritten := str(rewrite(question, history, lm)).strip()):
                return rewritten
        except AnswerError as error:
            log.warning("searching with the turn before the question: %s", error)
    return carry_over(question, history)


def carry_over(question: str, history: Sequence[Turn]) -> str:
    """The question after the one before it."""
    return f"{history[-1].question} {question}" if history else question

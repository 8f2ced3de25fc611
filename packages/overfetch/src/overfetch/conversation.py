"""Questions in a chat: what is searched for where a question leans on earlier turns."""

import logging
from collections.abc import Sequence

from overfetch.answering import LanguageModel, load_answer_function
from overfetch.errors import AnswerError
from overfetch.types import Turn

log = logging.getLogger(__name__)

KEPT_TURNS = 4


def standalone(question: str, history: Sequence[Turn], answering: str, lm: LanguageModel | None) -> str:
    """The question as it would be asked alone: rewritten by the collection's answer module (its `rewrite`) where it
    can and a language model is given, else with the turn before it."""
    if not history:
        return question
    if lm is not None:
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

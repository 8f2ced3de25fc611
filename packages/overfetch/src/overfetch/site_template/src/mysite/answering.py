"""Answers that a language model writes, by the passages alone and with quotes of them."""

from collections.abc import Sequence
from typing import Any, Literal

import dspy

from overfetch import Draft, Retrieval
from overfetch_answers import (
    MARKED,
    PASSAGES,
    QUOTES,
    Answers,
    Cited,
    GroundedModule,
    NumberedPassage,
    Quote,
    number_passages,
    show,
)

FACTS = ("kind", "updated")  # metadata that the model is shown


class AnswerQuestion(dspy.Signature):
    """Answer the question by the passages alone, briefly. Where they don't hold the answer, say so and don't guess."""

    question: str = dspy.InputField()
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)
    quotes: list[Quote] = dspy.OutputField(desc=QUOTES)
    verdict: Literal["answered", "not in the sources"] = dspy.OutputField()
    answer: str = dspy.OutputField(desc=f"{MARKED}; empty where it is not in the sources")


class PageAnswer(GroundedModule):
    """question -> answer, verdict, quotes."""

    signature = AnswerQuestion
    streamed = "answer"

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        return {"question": question, "passages": show(number_passages(retrievals), FACTS)}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        if reply.verdict != "answered":
            return Draft(answer="Not in the sources.", citations=(), found=False)
        cited = Cited()
        answer = cited.add(reply.answer, reply.quotes, number_passages(retrievals))
        return Draft(answer=answer, citations=tuple(cited.citations))


answer_pages = Answers(PageAnswer)

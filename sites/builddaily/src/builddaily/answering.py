"""Answers about developer tools: which page helps, or a reply in a chat."""

from collections.abc import Sequence
from typing import Any, Literal

import dspy

from overfetch import AnswerRequest, Draft, Retrieval
from overfetch_answers import (
    PASSAGES,
    QUOTES,
    GroundedModule,
    NumberedPassage,
    Quote,
    Retriever,
    answer_with,
    cite,
    find_passage,
    number_passages,
    show,
)

FACTS = ("kind", "category", "updated")
NO_PAGE = "Not in the sources: none of the pages found answers the question."


class ChoosePage(dspy.Signature):
    """Choose the one page that best answers a developer's question, by the passages alone.

    Products with similar names (Sage, Sage Daily, SageMath) are different products: go by the passages' titles.
    """

    question: str = dspy.InputField()
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)
    quotes: list[Quote] = dspy.OutputField(desc=QUOTES)
    page: int | None = dspy.OutputField(desc="number of the passage whose page answers best; null where none does")
    why: str = dspy.OutputField(desc="why this page, in one or two sentences; empty where none does")
    how_to_start: str = dspy.OutputField(desc="the first step that the page itself gives; empty where it gives none")


class ResourceAnswer(GroundedModule):
    """question -> page, why, how_to_start, quotes."""

    signature = ChoosePage

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        return {"question": question, "passages": show(number_passages(retrievals), FACTS)}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        if reply.page is None:
            return Draft(answer=NO_PAGE, citations=(), found=False)
        numbered = number_passages(retrievals)
        answer = f"{find_passage(reply.page, numbered).title}: {reply.why}"
        if reply.how_to_start:
            answer += f"\n\nHow to start: {reply.how_to_start}"
        return Draft(answer=answer, citations=cite(reply.quotes, numbered))


class ReplyInChat(dspy.Signature):
    """Answer a developer's question by the passages alone, briefly and to the point.

    Products with similar names (Sage, Sage Daily, SageMath) are different products: settle first which one is meant,
    and use no passage about another. Where the passages don't hold the answer, say so rather than guess.
    """

    question: str = dspy.InputField()
    history: list[str] = dspy.InputField(desc="earlier turns of this chat, oldest first")
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)
    product: str = dspy.OutputField(desc="what the question is about, as the passages' titles spell it")
    quotes: list[Quote] = dspy.OutputField(desc=QUOTES)
    verdict: Literal["answered", "not in the sources"] = dspy.OutputField()
    answer: str = dspy.OutputField(desc="the answer; or, where it is not in the sources, what they lack")


class ChatAnswer(GroundedModule):
    """question, history (turns, optional) -> product, verdict, answer, quotes."""

    signature = ReplyInChat

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        return {"question": question, "history": [], "passages": show(number_passages(retrievals), FACTS)}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        if reply.verdict != "answered":
            return Draft(answer=f"Not in the sources. {reply.answer}".strip(), citations=(), found=False)
        return Draft(answer=reply.answer, citations=cite(reply.quotes, number_passages(retrievals)))


def answer_resources(request: AnswerRequest) -> Draft:
    """Which page helps, why, and how to start."""
    return answer_with(ResourceAnswer(Retriever.fixed(request.retrievals)), request)


def answer_chat(request: AnswerRequest) -> Draft:
    """A reply to one question, grounded in the passages."""
    return answer_with(ChatAnswer(Retriever.fixed(request.retrievals)), request)

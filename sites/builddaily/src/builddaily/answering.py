"""Answers about developer tools: which page helps, or a reply in a chat."""

from collections.abc import Sequence
from typing import Any, Literal

import dspy

from overfetch import Draft, Retrieval, Turn
from overfetch_answers import (
    MARKED,
    PASSAGES,
    QUOTES,
    Answers,
    Cited,
    Grounded,
    GroundedModule,
    NumberedPassage,
    Quote,
    find_passage,
    mark,
    number_passages,
    plain_title,
)

FACTS = ("kind", "category", "updated")
NEAREST = 3


class ChoosePage(Grounded):
    """Choose the one page that best answers a developer's question, by the passages alone.

    Products with similar names (Sage, Sage Daily, SageMath) are different products: go by the passages' titles.
    """

    quotes: list[Quote] = dspy.OutputField(desc=QUOTES)
    page: int | None = dspy.OutputField(desc="number of the passage whose page answers best; null where none does")
    why: str = dspy.OutputField(desc=f"why this page, in one or two sentences: {MARKED}; empty where none does")
    how_to_start: str = dspy.OutputField(desc=f"the page's own first step: {MARKED}; empty where it gives none")


class ResourceAnswer(GroundedModule):
    """question -> page, why, how_to_start, quotes."""

    signature = ChoosePage
    facts = FACTS
    streamed = "why"

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        if reply.page is None:
            return not_in_the_sources(retrievals)
        cited, numbered = Cited(), number_passages(retrievals)
        page = find_passage(reply.page, numbered)
        places = cited.keep(reply.quotes, numbered)
        answer = mark(f"{plain_title(page)}: {reply.why}", places)
        if start := mark(reply.how_to_start, places):
            answer += f"\n\nHow to start: {start}"
        return Draft(answer=answer, citations=tuple(cited.citations))


class ReplyInChat(dspy.Signature):
    """Answer a developer's question by the passages alone, briefly and to the point.

    Products with similar names (Sage, Sage Daily, SageMath) are different products: settle first which one is meant,
    and use no passage about another. Where the passages don't hold the answer, say so rather than guess.
    """

    question: str = dspy.InputField()
    history: list[Turn] = dspy.InputField(desc="earlier turns of this chat, oldest first")
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)
    product: str = dspy.OutputField(desc="what the question is about, as the passages' titles spell it")
    quotes: list[Quote] = dspy.OutputField(desc=QUOTES)
    verdict: Literal["answered", "not in the sources"] = dspy.OutputField()
    answer: str = dspy.OutputField(desc=f"{MARKED}; empty where it is not in the sources")


class ChatAnswer(GroundedModule):
    """question, history (turns, optional) -> product, verdict, answer, quotes."""

    signature = ReplyInChat
    facts = FACTS
    streamed = "answer"

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        return {**super().inputs(question, retrievals), "history": []}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        if reply.verdict != "answered":
            return not_in_the_sources(retrievals)
        cited = Cited()
        answer = cited.add(reply.answer, reply.quotes, number_passages(retrievals))
        return Draft(answer=answer, citations=tuple(cited.citations))


def not_in_the_sources(retrievals: Sequence[Retrieval]) -> Draft:
    """Without a word of the model, since nothing would support it: only which pages came nearest."""
    titles = dict.fromkeys(plain_title(hit.passage) for retrieval in retrievals for hit in retrieval.hits)
    nearest = ", ".join([*titles][:NEAREST])
    return Draft(answer=f"Not in the sources. The nearest pages: {nearest}.", citations=(), found=False)


# Which page helps, why, and how to start; and a reply in a chat, grounded in the passages.
answer_resources = Answers(ResourceAnswer)
answer_chat = Answers(ChatAnswer)

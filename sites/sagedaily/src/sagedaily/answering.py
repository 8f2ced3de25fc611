"""One reading of several parts (cards, transits), each grounded in its own passages of the canon."""

from collections.abc import Sequence
from typing import Any

import dspy
from pydantic import BaseModel

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
    number_parts,
    show,
)

FACTS = ("kind", "subject", "orientation", "work")


class Part(BaseModel):
    """One part of the reading, in the order drawn, with the canon's passages about it."""

    number: int
    drawn: str
    passages: list[NumberedPassage]


class PartMeaning(BaseModel):
    """What one part means in this reading."""

    part: int
    meaning: str
    quotes: list[Quote]


class Read(dspy.Signature):
    """Read the parts together as one answer to the question, by the canon's passages alone.

    Keep to the orientation drawn: a reversed card is read as reversed, a retrograde planet as retrograde, and a
    passage about another orientation is not used. Quote for each part from its own passages only. Where a part has
    no passage, say that the canon is silent on it.
    """

    question: str = dspy.InputField()
    parts: list[Part] = dspy.InputField(desc=f"in the order drawn; `passages` are {PASSAGES}")
    meanings: list[PartMeaning] = dspy.OutputField(desc=f"one for each part, in order; `quotes` are {QUOTES}")
    reading: str = dspy.OutputField(desc="one coherent text that ties the parts together and answers the question")


class ReadingAnswer(GroundedModule):
    """question, one retrieval for each part -> meanings (part, meaning, quotes), reading."""

    signature = Read

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        numbered = number_parts(retrievals)
        parts = [
            Part(number=number, drawn=retrieval.query.removesuffix(f": {question}"), passages=show(passages, FACTS))
            for number, (retrieval, passages) in enumerate(zip(retrievals, numbered, strict=True), start=1)
        ]
        return {"question": question, "parts": parts}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """Quotes from another part's passages are dropped."""
        parts = dict(enumerate(number_parts(retrievals), start=1))
        citations = [c for meaning in reply.meanings for c in cite(meaning.quotes, parts.get(meaning.part, {}))]
        return Draft(answer=reply.reading, citations=tuple(citations))


def answer_canon(request: AnswerRequest) -> Draft:
    """One reading of all parts, in one text."""
    return answer_with(ReadingAnswer(Retriever.fixed(request.retrievals)), request)

"""One reading of several parts (cards, transits), each grounded in its own passages of the canon."""

from collections.abc import Sequence
from typing import Any

import dspy
from pydantic import BaseModel

from overfetch import Draft, Passage, Retrieval
from overfetch_answers import (
    MARKED,
    PASSAGES,
    QUOTES,
    Answers,
    Cited,
    GroundedModule,
    NumberedPassage,
    Places,
    Quote,
    mark,
    number_parts,
    show,
)
from sagedaily.understanding import NO_ORIENTATION, orientation_in

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
    reading: str = dspy.OutputField(
        desc=f"one coherent text that ties the parts together and answers the question; {MARKED}"
    )


class ReadingAnswer(GroundedModule):
    """question, one retrieval for each part -> meanings (part, meaning, quotes), reading."""

    signature = Read
    streamed = "reading"

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        numbered = number_parts(retrievals)
        parts = [
            Part(number=number, drawn=retrieval.query, passages=show(passages, FACTS))
            for number, (retrieval, passages) in enumerate(zip(retrievals, numbered, strict=True), start=1)
        ]
        return {"question": question, "parts": parts}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """Quotes from another part's passages, or about another orientation than the one drawn, are refused."""
        cited = Cited()
        places: Places = {}
        parts = dict(enumerate(zip(retrievals, number_parts(retrievals), strict=True), start=1))
        for meaning in reply.meanings:
            retrieval, passages = parts.get(meaning.part, (None, {}))
            own = {n: p for n, p in passages.items() if retrieval and _fits(p, orientation_in(retrieval.query))}
            for passage, numbers in cited.keep(meaning.quotes, own).items():
                places.setdefault(passage, []).extend(numbers)
        return Draft(answer=mark(reply.reading, places), citations=tuple(cited.citations))


def _fits(passage: Passage, drawn: str | None) -> bool:
    return drawn is None or passage.metadata.get("orientation") in (drawn, NO_ORIENTATION, None)


# One reading of all parts, in one text.
answer_canon = Answers(ReadingAnswer)

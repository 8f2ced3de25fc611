"""Answers about markets: tickers ranked by evidence, and precedents of a catalyst."""

from collections.abc import Iterator, Sequence
from typing import Any

import dspy
from pydantic import BaseModel

from overfetch import AnswerRequest, Citation, Draft, Retrieval
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

TICKER_FACTS = ("symbol", "sector", "next_earnings", "updated")
# Never the outcome: it has passages of its own, dated when it was known.
CATALYST_FACTS = ("date", "entity", "symbol", "type")
NO_TICKER = "Not in the sources: none of the tickers found fits the question."
NO_PRECEDENT = "Not in the sources: none of the events found is a precedent."


class RankedTicker(BaseModel):
    """A ticker that fits, and what shows it."""

    symbol: str
    evidence: str
    quotes: list[Quote]


class RankTickers(dspy.Signature):
    """Rank the tickers that fit the question, best first, by the passages alone.

    Leave out tickers that don't fit; an empty ranking is a valid answer. Add no figure, date or forecast that the
    passages don't hold.
    """

    question: str = dspy.InputField()
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)
    ranking: list[RankedTicker] = dspy.OutputField(desc=f"each symbol once, as in `facts`; `quotes` are {QUOTES}")


class TickerAnswer(GroundedModule):
    """question -> ranking: symbols, best first, each with evidence and quotes."""

    signature = RankTickers

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        return {"question": question, "passages": show(number_passages(retrievals), TICKER_FACTS)}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """Rows of symbols that were not retrieved, and quotes from another ticker's passages, are dropped."""
        numbered = number_passages(retrievals)
        lines: list[str] = []
        citations: list[Citation] = []
        for row in reply.ranking:
            own = {
                number: passage for number, passage in numbered.items() if passage.metadata.get("symbol") == row.symbol
            }
            if own:
                lines.append(f"{len(lines) + 1}. {row.symbol}: {row.evidence}")
                citations.extend(cite(row.quotes, own))
        return Draft(answer="\n".join(lines) or NO_TICKER, citations=tuple(citations), found=bool(lines))


class Precedent(BaseModel):
    """An earlier event that is like the one asked about, and where the likeness ends."""

    passage: int
    alike: str
    unlike: str
    quotes: list[Quote]


class FindPrecedents(dspy.Signature):
    """Choose the past events that are precedents of the one asked about, closest first, by the passages alone.

    Say of each what is alike and what is not; an empty list is a valid answer. Tell nothing of what came after an
    event unless a passage does.
    """

    question: str = dspy.InputField()
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)
    precedents: list[Precedent] = dspy.OutputField(
        desc=f"each event once; `passage` is the number of a passage that tells of it; `quotes` are {QUOTES}"
    )


class CatalystAnswer(GroundedModule):
    """question -> precedents, closest first: event and date from the archive, alike, unlike, quotes."""

    signature = FindPrecedents

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        return {"question": question, "passages": show(number_passages(retrievals), CATALYST_FACTS)}

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        numbered = number_passages(retrievals)
        return Draft(
            answer="\n".join(self._lines(reply, retrievals)) or NO_PRECEDENT,
            citations=tuple(c for precedent in reply.precedents for c in cite(precedent.quotes, numbered)),
            found=bool(reply.precedents),
        )

    def _lines(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Iterator[str]:
        """Title and date are the archive's own: the model only judges likeness."""
        numbered = number_passages(retrievals)
        for place, precedent in enumerate(reply.precedents, start=1):
            event = find_passage(precedent.passage, numbered)
            yield f"{place}. {event.metadata['date']}, {event.title}"
            yield f"   Alike: {precedent.alike}"
            yield f"   Unlike: {precedent.unlike}"


def answer_tickers(request: AnswerRequest) -> Draft:
    """The tickers that fit, ranked, with evidence."""
    return answer_with(TickerAnswer(Retriever.fixed(request.retrievals)), request)


def answer_catalysts(request: AnswerRequest) -> Draft:
    """Precedents with dates: what is alike, what is not."""
    return answer_with(CatalystAnswer(Retriever.fixed(request.retrievals)), request)

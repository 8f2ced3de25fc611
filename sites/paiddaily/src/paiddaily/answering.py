"""Answers about markets: tickers ranked by evidence, and precedents of a catalyst."""

from collections.abc import Sequence

import dspy
from pydantic import BaseModel

from overfetch import Draft, Retrieval
from overfetch_answers import (
    MARKED,
    QUOTES,
    Answers,
    Cited,
    Grounded,
    GroundedModule,
    Quote,
    find_passage,
    mark,
    number_passages,
    plain_title,
)

NO_TICKER = "Not in the sources: none of the tickers found fits the question."
NO_PRECEDENT = "Not in the sources: none of the events found is a precedent."


class RankedTicker(BaseModel):
    """A ticker that fits, and what shows it."""

    symbol: str
    evidence: str
    quotes: list[Quote]


class RankTickers(Grounded):
    """Rank the tickers that fit the question, best first, by the passages alone.

    Leave out tickers that don't fit; an empty ranking is a valid answer. Add no figure, date or forecast that the
    passages don't hold.
    """

    ranking: list[RankedTicker] = dspy.OutputField(
        desc=f"each symbol once, as in `facts`; `evidence`: {MARKED}; `quotes` are {QUOTES}"
    )


class TickerAnswer(GroundedModule):
    """question -> ranking: symbols, best first, each with evidence and quotes."""

    signature = RankTickers
    facts = ("symbol", "sector", "next_earnings", "updated")

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """Rows of symbols that were not retrieved are dropped; quotes from another ticker's passages are refused."""
        cited, numbered = Cited(), number_passages(retrievals)
        lines: list[str] = []
        for row in reply.ranking:
            own = {n: p for n, p in numbered.items() if p.metadata.get("symbol") == row.symbol}
            if own:
                lines.append(cited.add(f"{len(lines) + 1}. {row.symbol}: {row.evidence}", row.quotes, own))
        return Draft(answer="\n".join(lines) or NO_TICKER, citations=tuple(cited.citations), found=bool(lines))


class Precedent(BaseModel):
    """An earlier event that is like the one asked about, and where the likeness ends."""

    passage: int
    alike: str
    unlike: str
    quotes: list[Quote]


class FindPrecedents(Grounded):
    """Choose the past events that are precedents of the one asked about, closest first, by the passages alone.

    Say of each what is alike and what is not; an empty list is a valid answer. Tell nothing of what came after an
    event unless a passage does.
    """

    precedents: list[Precedent] = dspy.OutputField(
        desc=f"each event once; `passage` is the number of a passage that tells of it; `alike` and `unlike`: {MARKED}; "
        f"`quotes` are {QUOTES}"
    )


class CatalystAnswer(GroundedModule):
    """question -> precedents, closest first: event and date from the archive, alike, unlike, quotes."""

    signature = FindPrecedents
    # Never the outcome: it has passages of its own, dated when it was known.
    facts = ("date", "entity", "symbol", "type")

    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """Title and date are the archive's own: the model only judges likeness. Of an event only its own passages."""
        cited, numbered = Cited(), number_passages(retrievals)
        lines: list[str] = []
        for precedent in reply.precedents:
            event = find_passage(precedent.passage, numbered)
            own = {n: p for n, p in numbered.items() if p.document_id == event.document_id}
            places = cited.keep(precedent.quotes, own)
            lines.append(mark(f"{len(lines) // 3 + 1}. {event.metadata['date']}, {plain_title(event)}", places))
            lines += [f"   Alike: {mark(precedent.alike, places)}", f"   Unlike: {mark(precedent.unlike, places)}"]
        return Draft(answer="\n".join(lines) or NO_PRECEDENT, citations=tuple(cited.citations), found=bool(lines))


# The tickers that fit, ranked, with evidence; and precedents with dates: what is alike, what is not.
answer_tickers = Answers(TickerAnswer)
answer_catalysts = Answers(CatalystAnswer)

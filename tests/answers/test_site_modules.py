"""Each site's module: what the model is given, and what becomes of its reply, in both ways of calling."""

import asyncio
from collections.abc import Callable
from typing import Any

import dspy
import pytest
from dspy.utils import DummyLM

from builddaily.answering import ChatAnswer, ResourceAnswer
from overfetch import AnswerError, Document, Retrieval, Turn, guard, keep_valid
from overfetch_answers import GroundedModule, Retriever
from paiddaily.answering import CatalystAnswer, TickerAnswer
from sagedaily.answering import ReadingAnswer

Retrievals = tuple[Retrieval, ...]
Run = Callable[..., dspy.Prediction]


def call(module: GroundedModule, **inputs: object) -> dspy.Prediction:
    return module(**inputs)


def acall(module: GroundedModule, **inputs: object) -> dspy.Prediction:
    return asyncio.run(module.acall(**inputs))


@pytest.fixture(params=[call, acall])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a module on retrievals, with a model that gives one reply."""

    def run(module: type[GroundedModule], retrievals: Retrievals, reply: object, **inputs: object) -> dspy.Prediction:
        lm = DummyLM([reply])
        with dspy.context(lm=lm):
            prediction = request.param(module(Retriever.fixed(retrievals)), **inputs)
        prediction.prompt = lm.history[-1]["messages"][-1]["content"]
        return prediction

    return run


def valid_quotes(prediction: dspy.Prediction) -> list[tuple[str, str]]:
    """Document and words of what survives the core's check."""
    return [(c.document_id, c.quote) for c in keep_valid(prediction.citations, prediction.retrievals)]


def test_a_page_is_named_by_its_own_title(run: Run, pages: Retrievals) -> None:
    quotes = [{"passage": 2, "quote": "Sage Daily writes readings."}]
    reply = {"quotes": quotes, "page": 2, "why": "It writes them.", "how_to_start": "Draw a card."}
    prediction = run(ResourceAnswer, pages, reply, question="Who writes readings?")
    assert prediction.answer == "Sage Daily: It writes them. [1]\n\nHow to start: Draw a card. [1]"
    assert valid_quotes(prediction) == [("sage-daily", "Sage Daily writes readings.")]


def test_no_page_is_an_answer(run: Run, pages: Retrievals) -> None:
    reply: dict[str, object] = {"quotes": [], "page": None, "why": "", "how_to_start": ""}
    prediction = run(ResourceAnswer, pages, reply, question="What is Rust?")
    assert prediction.answer.startswith("Not in the sources")
    assert prediction.citations == ()


def test_a_page_that_was_not_given_is_refused(run: Run, pages: Retrievals) -> None:
    reply = {"quotes": [], "page": 7, "why": "", "how_to_start": ""}
    with pytest.raises(AnswerError, match=r"chose passage 7, but was given \[1, 2\]"):
        run(ResourceAnswer, pages, reply, question="What is Sage?")


def test_chat_cites_across_line_breaks_and_loses_inventions(run: Run, pages: Retrievals) -> None:
    quotes = [
        {"passage": 1, "quote": "Sage is a bridge. It speaks OSC."},
        {"passage": 1, "quote": "Sage is a spice."},
        {"passage": 2, "quote": "Sage is a bridge."},
        {"passage": 9, "quote": "Sage is a bridge."},
    ]
    reply = {"product": "Sage", "quotes": quotes, "verdict": "answered", "answer": "A bridge."}
    prediction = run(ChatAnswer, pages, reply, question="What is Sage?", history=[Turn(question="Hello.")])
    assert prediction.answer == "A bridge. [1][2][3][4]"
    assert valid_quotes(prediction) == [("sage", "Sage is a bridge. It speaks OSC.")]
    assert "Hello." in prediction.prompt


def test_chat_says_that_sources_are_silent(run: Run, pages: Retrievals) -> None:
    quotes = [{"passage": 1, "quote": "Sage is a bridge."}]
    reply = {"product": "Sage", "quotes": quotes, "verdict": "not in the sources", "answer": "No price is given."}
    prediction = run(ChatAnswer, pages, reply, question="What does Sage cost?")
    assert prediction.answer == "Not in the sources. The nearest pages: Sage, Sage Daily."
    assert prediction.citations == ()


def test_passages_are_numbered_data_under_their_titles(run: Run, pages: Retrievals) -> None:
    reply: dict[str, object] = {"product": "", "quotes": [], "verdict": "answered", "answer": ""}
    prompt = run(ChatAnswer, pages, reply, question="What is Sage?").prompt
    assert '{"number": 1, "title": "Sage", "facts": {"kind": "tool"}, "text": "Sage is a bridge.\\nIt speaks' in prompt
    assert '{"number": 2, "title": "Sage Daily", "facts": {}, "text": "Sage Daily writes readings."}' in prompt


def test_tickers_are_ranked_and_invented_symbols_dropped(run: Run, tickers: Retrievals) -> None:
    rows = [
        {"symbol": "AVGO", "evidence": "A shelf.", "quotes": [{"passage": 2, "quote": "A long shelf formed."}]},
        {"symbol": "NVDA", "evidence": "A memory.", "quotes": [{"passage": 2, "quote": "A long shelf formed."}]},
        {"symbol": "MSFT", "evidence": "Flat.", "quotes": [{"passage": 2, "quote": "A long shelf formed."}]},
    ]
    prediction = run(TickerAnswer, tickers, {"ranking": rows}, question="quiet before earnings")
    assert prediction.answer == "1. AVGO: A shelf. [1]\n2. MSFT: Flat. [2]"
    assert valid_quotes(prediction) == [("AVGO", "A long shelf formed.")]


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Arrays[1] guide", "Arrays‹1› guide"),
        ("Guide (2)", "Guide ‹2›"),
        ("A【1†x】 b&#91;2&#93; \\[1\\]", "A‹1†x› b‹2› ‹1›"),
        ("Call `f[1]` or f(1)", "Call `f[1]` or f(1)"),
    ],
)
def test_a_number_in_a_title_is_no_citation(run: Run, retrieval_of: Any, title: str, shown: str) -> None:
    page = Document(id="page", title=title, text="It speaks OSC.", metadata={"date": "2024-01-01"})
    found, quotes = (retrieval_of("q", page),), [{"passage": 1, "quote": "It speaks OSC."}]
    chosen: dict[str, object] = {"quotes": quotes, "page": 1, "why": "It speaks.", "how_to_start": ""}
    assert run(ResourceAnswer, found, chosen, question="q").answer == f"{shown}: It speaks. [1]"
    none: dict[str, object] = {"product": "", "quotes": [], "verdict": "not in the sources", "answer": ""}
    assert run(ChatAnswer, found, none, question="q").answer == f"Not in the sources. The nearest pages: {shown}."
    event = {"passage": 1, "alike": "Like.", "unlike": "", "quotes": quotes}
    answer = run(CatalystAnswer, found, {"precedents": [event]}, question="q").answer
    assert answer.startswith(f"1. 2024-01-01, {shown} [1]\n   Alike: Like. [1]")
    assert guard(answer, [], found).answer.startswith(f"1. 2024-01-01, {shown} [unverified]\n")


def test_no_ticker_is_an_answer(run: Run, tickers: Retrievals) -> None:
    assert run(TickerAnswer, tickers, {"ranking": []}, question="loud").answer.startswith("Not in the sources")


def test_a_precedent_is_dated_by_the_archive(run: Run, catalysts: Retrievals) -> None:
    quotes = [{"passage": 1, "quote": "Funding was strongly positive."}]
    reply = {"precedents": [{"passage": 1, "alike": "A listing.", "unlike": "Smaller.", "quotes": quotes}]}
    prediction = run(CatalystAnswer, catalysts, reply, question="a new listing")
    assert prediction.answer == "1. 2023-07-05, Pair opens [1]\n   Alike: A listing. [1]\n   Unlike: Smaller. [1]"
    assert valid_quotes(prediction) == [("listing", "Funding was strongly positive.")]


def test_the_model_does_not_see_an_outcome_that_was_not_retrieved(run: Run, catalysts: Retrievals) -> None:
    prediction = run(CatalystAnswer, catalysts, {"precedents": []}, question="a new listing")
    assert prediction.answer.startswith("Not in the sources")
    assert "19%" not in prediction.prompt


def test_a_reading_quotes_each_part_from_its_own_passages(run: Run, draws: Retrievals) -> None:
    meanings = [
        {"part": 1, "meaning": "Delay.", "quotes": [{"passage": 1, "quote": "The fall is put off."}]},
        {"part": 2, "meaning": "Delay.", "quotes": [{"passage": 1, "quote": "The fall is put off."}]},
        {"part": 2, "meaning": "Begin.", "quotes": [{"passage": 2, "quote": "A start before the plan."}]},
        {"part": 3, "meaning": "None.", "quotes": [{"passage": 2, "quote": "A start before the plan."}]},
    ]
    reply = {"meanings": meanings, "reading": "Wait, then go."}
    prediction = run(ReadingAnswer, draws, reply, question="Shall I move?")
    assert prediction.answer == "Wait, then go. [1][2][3][4]"
    assert valid_quotes(prediction) == [("tower", "The fall is put off."), ("fool", "A start before the plan.")]
    assert '"drawn": "The Tower, reversed", "passages": [{"number": 1' in prediction.prompt
    assert '"orientation": "reversed"' in prediction.prompt

"""Answers over HTTP: streamed, retried, bounded in tokens, many at once; whatever the server does, an ask ends."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dspy
import openai_server
import pytest

from builddaily.answering import ChatAnswer, answer_chat
from overfetch import (
    Answer,
    AnswerRequest,
    Citation,
    Engine,
    LanguageModel,
    Retrieval,
    SettingsError,
    Turn,
    keep_valid,
    load_site,
)
from overfetch.conversation import carry_over, standalone
from overfetch.requests import AskRequest
from overfetch.testing import open_fake
from overfetch_answers import Retriever, RetryCitations
from overfetch_answers.fitting import fit, time_to_write
from overfetch_answers.language_model import allowance, build_language_model

SHARES = ("--slow=0.1", "--limited=0.15", "--failing=0.15", "--cut=0.15", "--malformed=0.15", "--nonsense=0.1")
QUESTIONS = ("What is Sage Daily?", "How do I pin a reranker?", "Does uv replace pip?", "What is a cross-encoder for?")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with openai_server.running() as address:
        yield address


@pytest.fixture
def lm(address: str) -> LanguageModel:
    return LanguageModel(name="openai/rules", api_base=address, timeout_s=20)


@pytest.fixture
def engine(lm: LanguageModel) -> Engine:
    engine = open_fake(load_site("builddaily"))
    engine.lm = lm
    return engine


async def streamed(engine: Engine, question: str) -> tuple[str, Answer]:
    pieces = [piece async for piece in engine.ask_stream(question)]
    assert isinstance(pieces[-1], Answer)
    assert all(isinstance(piece, str) for piece in pieces[:-1])
    return "".join(map(str, pieces[:-1])), pieces[-1]


async def test_text_comes_in_pieces_and_citations_at_the_end(engine: Engine) -> None:
    text, answer = await streamed(engine, "What is Sage Daily?")
    assert answer.mode == "lm"
    assert answer.citations
    assert answer.coverage == 1.0
    assert text.strip()


async def test_a_stream_without_a_model_is_the_extractive_answer(engine: Engine) -> None:
    engine.lm = None
    text, answer = await streamed(engine, "What is Sage Daily?")
    assert (text, answer.mode) == ("", "extractive")
    assert answer == engine.ask("What is Sage Daily?").model_copy(update={"retrievals": answer.retrievals})


async def test_wrong_usage_is_raised_before_the_first_piece(engine: Engine) -> None:
    with pytest.raises(SettingsError, match="the question is empty"):
        async for _ in engine.ask_stream(" "):
            pass


async def test_who_leaves_a_stream_leaves_nothing_running(engine: Engine) -> None:
    stream = engine.ask_stream("What is Sage Daily?")
    async for piece in stream:
        assert piece
        break
    await stream.aclose()
    assert (await engine.ask_async("What is Sage Daily?")).mode == "lm"


async def test_every_ask_ends_whatever_the_server_does(lm: LanguageModel) -> None:
    engine = open_fake(load_site("builddaily"))
    with openai_server.running(*SHARES) as address:
        engine.lm = lm.model_copy(update={"api_base": address})
        asks: list[Coroutine[Any, Any, Any]] = [
            engine.ask_async(QUESTIONS[n % 4]) if n % 2 else streamed(engine, QUESTIONS[n % 4]) for n in range(60)
        ]
        ended = await asyncio.wait_for(asyncio.gather(*asks), timeout=120)
    answers = [end if isinstance(end, Answer) else end[1] for end in ended]
    assert Counter(answer.mode for answer in answers).keys() == {"lm", "extractive"}
    assert all(answer.reason for answer in answers if answer.mode == "extractive")
    assert all(answer.citations for answer in answers if answer.found)


def test_the_guards_feedback_repairs_an_answer(engine: Engine, lm: LanguageModel) -> None:
    """The rule-based model cuts most quotes short when asked cold, and none once told."""
    retrievals = [(engine.search("chat", question),) for question in QUESTIONS]
    asked = list(zip(QUESTIONS, retrievals, strict=True))
    drafts = [answer_chat(AnswerRequest(question=q, retrievals=r, lm=lm)) for q, r in asked]
    cold = [ask_once(lm, q, r, attempts=1) for q, r in asked]
    assert [held(d.citations, r) for d, r in zip(drafts, retrievals, strict=True)] == [True] * 4
    assert False in [held(p.citations, r) for p, r in zip(cold, retrievals, strict=True)]


def held(citations: Sequence[Citation], retrievals: tuple[Retrieval, ...]) -> bool:
    return bool(citations) and len(list(keep_valid(citations, retrievals))) == len(citations)


def ask_once(lm: LanguageModel, question: str, retrievals: tuple[Retrieval, ...], attempts: int) -> dspy.Prediction:
    with dspy.context(lm=build_language_model(lm)):
        return RetryCitations(ChatAnswer(Retriever.fixed(retrievals)), attempts)(question=question)


def test_a_token_budget_leaves_passages_out_or_says_that_it_is_too_small(engine: Engine, lm: LanguageModel) -> None:
    question = "What is Sage Daily?"
    retrievals = (engine.search("chat", question),)
    module = ChatAnswer(Retriever.fixed(retrievals))
    whole = module.prompt_tokens(question, retrievals)
    bounded = lm.model_copy(update={"token_budget": whole + 300, "max_tokens": 400})
    request = AnswerRequest(question=question, retrievals=retrievals, lm=bounded)
    fitted, allowed, notes = fit(module, request)
    kept = fitted.retrievals
    left_out = len(retrievals[0].hits) - len(kept[0].hits)
    assert left_out >= 1
    assert (allowed.attempts, allowed.json_fallback) == (1, False)
    assert module.prompt_tokens(question, kept) + 400 <= whole + 300
    draft = answer_chat(request)
    assert [draft.note] == notes == [f"{left_out} passages were left out: token budget {whole + 300}"]
    roomy = lm.model_copy(update={"token_budget": 5 * (whole + 400), "max_tokens": 400})
    request = request.model_copy(update={"lm": roomy})
    assert fit(module, request) == (request, (2, True), [])
    engine.lm = lm.model_copy(update={"token_budget": 50})
    answer = engine.ask(question)
    assert answer.mode == "extractive"
    assert "a token budget of 50 is too small (OVERFETCH_LM_TOKEN_BUDGET)" in (answer.reason or "")


def test_the_oldest_turns_are_left_out_before_passages(engine: Engine, lm: LanguageModel) -> None:
    question, history = "What is Sage Daily?", tuple(Turn(question=f"{n}?", answer="So it is. " * 90) for n in range(3))
    retrievals = (engine.search("chat", question),)
    module = ChatAnswer(Retriever.fixed(retrievals))
    whole = module.prompt_tokens(question, retrievals, history)
    request = AnswerRequest(question=question, retrievals=retrievals, lm=lm, history=history)

    def fitted(budget: int, **changes: Any) -> tuple[AnswerRequest, list[str]]:
        bounded = lm.model_copy(update={"token_budget": budget, "max_tokens": 100, **changes})
        kept, _, notes = fit(module, request.model_copy(update={"lm": bounded}))
        return kept, notes

    kept, notes = fitted(whole)
    assert (kept.history, kept.retrievals) == (history[1:], retrievals)
    assert notes == [f"1 turns were left out: token budget {whole}"]
    kept, notes = fitted(module.prompt_tokens(question, retrievals, history[2:]))
    assert kept.history == history[2:]
    assert [note.partition(":")[0] for note in notes] == ["2 turns were left out", "1 passages were left out"]
    assert fitted(whole + 100)[1] == []
    request = request.model_copy(update={"history": (Turn(question="Valkey?"),)})
    budget = module.prompt_tokens(question, retrievals, request.history) + 700
    assert fitted(budget, max_tokens=700)[1] == []
    assert "passages were left out" in fitted(budget, max_tokens=700, rewrites=True)[1][0], "rewriting has a quarter"


@pytest.mark.parametrize("budget", [32_000, 100_000])
def test_a_large_token_budget_has_room_to_ask_again(lm: LanguageModel, budget: int) -> None:
    assert allowance(lm.model_copy(update={"token_budget": budget}), budget // 8, attempts=2) == (2, True)


def test_a_chat_that_is_too_long_for_the_budget_is_not_rewritten(engine: Engine, lm: LanguageModel) -> None:
    engine.lm = lm.model_copy(update={"rewrites": True, "token_budget": 8_000})
    short, long = ([Turn(question="What is Valkey?", answer="A fork. " * n)] for n in (1, 1_000))
    assert engine.ask("Does it have a licence?", history=short).retrievals[0].query == "Does Valkey have a licence?"
    found = engine.ask("Does it have a licence?", history=long).retrievals
    assert found[0].query == "What is Valkey? Does it have a licence?"
    request = AnswerRequest(question="Does it have a licence?", retrievals=found, lm=engine.lm, history=tuple(long))
    assert fit(ChatAnswer(Retriever.fixed(found)), request).notes == [
        "the question was not rewritten: the chat before it does not fit its share of the token budget 8000"
    ]


def test_rewriting_and_writing_share_the_time(engine: Engine, lm: LanguageModel) -> None:
    request = AnswerRequest(question="And so?", retrievals=(engine.search("chat", "so"),), lm=lm)
    rewritten = request.model_copy(
        update={"history": (Turn(question="What?"),), "lm": lm.model_copy(update={"rewrites": True})}
    )
    assert time_to_write(request)[0] == 20
    assert time_to_write(rewritten)[0] == 15


async def test_a_deadline_of_the_request_bounds_the_writing(engine: Engine) -> None:
    """A site's or a service's own does not: a model may take longer than a search."""
    question, history = "Does it have a licence?", ["What is Valkey?"]
    with openai_server.running("--slow=1") as slow:
        assert engine.lm is not None
        engine.lm = engine.lm.model_copy(update={"api_base": slow, "timeout_s": 60})
        told = "gave no answer within the request's deadline; allow more (deadline_ms)"
        for answer in (
            await asyncio.to_thread(engine.ask, question, history=history, deadline_ms=1_000),
            await engine.ask_async(question, history=history, deadline_ms=1_000),
        ):
            assert answer.mode == "extractive"
            assert told in (answer.reason or "")
            assert answer.citations
    assert AskRequest.of(question).answer_by(asked_at=1) is None
    assert AskRequest.of(question, deadline_ms=2_000).answer_by(asked_at=1) == 2.8


def test_a_deadline_that_is_over_asks_no_model(engine: Engine) -> None:
    answer = engine._answering(AskRequest.of("What is Sage?", deadline_ms=10), time.monotonic() - 1).answer(
        "What is Sage?", [engine.search("chat", "What is Sage?")]
    )
    assert answer.mode == "extractive"
    assert "the request's deadline left language model 'openai/rules' no time" in (answer.reason or "")


def test_a_reply_has_no_more_tokens_than_allowed(lm: LanguageModel) -> None:
    assert build_language_model(lm.model_copy(update={"max_tokens": 77})).kwargs["max_tokens"] == 77
    assert build_language_model(lm.model_copy(update={"token_budget": 4000})).kwargs["max_tokens"] == 1000
    assert build_language_model(lm.model_copy(update={"retries": 5})).num_retries == 5
    thinking = lm.model_copy(update={"name": "openai/gpt-5", "max_tokens": 77})
    assert build_language_model(thinking).kwargs["max_completion_tokens"] == 77


def test_a_question_of_a_chat_is_searched_for_by_name(engine: Engine) -> None:
    assert engine.lm is not None
    engine.lm = engine.lm.model_copy(update={"rewrites": True})
    history = [Turn(question="What is BM25?"), Turn(question="What is Valkey?", answer="A fork.")]
    rewritten = standalone("Does it have a licence?", history, "builddaily.answering:answer_chat", engine.lm)
    assert rewritten == "Does Valkey have a licence?"
    answer = engine.ask("Does it have a licence?", history=history)
    assert answer.retrievals[0].query == rewritten
    assert answer.question == "Does it have a licence?"


async def test_a_model_that_rewrites_holds_no_turn(engine: Engine) -> None:
    """What it took is over when the search takes its turn, and counts as none of its time."""
    assert engine.lm is not None
    engine.lm = engine.lm.model_copy(update={"rewrites": True})
    request = AskRequest.of("Does it have a licence?", history=["What is Valkey?"])
    began, asked = time.monotonic(), list[float]()

    @asynccontextmanager
    async def turn(asked_at: float) -> AsyncIterator[None]:
        asked.append(asked_at)
        yield

    events = engine.events(request, whole=True, turn=turn)
    found = await anext(events)
    await events.aclose()
    assert isinstance(found, tuple)
    assert found[0].query == "Does Valkey have a licence?"
    assert len(asked) == 1
    assert asked[0] > began


def test_the_turn_before_is_carried_over(engine: Engine) -> None:
    history = ["What is BM25?", "What is Valkey?"]
    assert engine.ask("Does it have a licence?", history=history).retrievals[0].query == (
        "What is Valkey? Does it have a licence?"
    )
    assert carry_over("Alone?", []) == "Alone?"
    down = LanguageModel(name="openai/rules", api_base="http://127.0.0.1:9/v1", retries=0, timeout_s=5, rewrites=True)
    turns = [Turn(question="What is Valkey?")]
    assert standalone("Is it free?", turns, "builddaily.answering:answer_chat", down) == "What is Valkey? Is it free?"

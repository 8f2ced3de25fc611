"""What is shown of an answer while it is written is checked, and begins what is shown next."""

from functools import cache

import pytest
from language_model import BOGUS, Messages, Model, fields, in_chat, passages, quote

from overfetch import Answer, AnswerSoFar, Engine, LanguageModel, citations, load_site
from overfetch.citations import whole_sentences
from overfetch.engine import AskEvent
from overfetch.markers import mask_code
from overfetch.requests import AskRequest
from overfetch.testing import open_fake
from overfetch_answers.streaming import Sentences
from overfetch_answers.testing import reply_to

TEXTS = [
    "It is so [1]. As Dr. Smith says, e.g. in 3.5 of it [2]. So. [1] [2] And on.\n\n- One [1].\n- Two. [2]\n\nEnd [1].",
    "Use `f(x). g[1]` so [1]. Then:\n\n```python\nx[0] = 1.\ny = x[1]. z\n```\n\nThat is all [2]. Or ~ so.",
    "これは茶です[1]。それは灯台です[2]。以上。",
    "One `stray tick. It goes on [1]. And on.\n\nThe next paragraph has none [1]. It ends.",
]


@pytest.mark.parametrize("text", TEXTS)
def test_whole_sentences_only_grow(text: str) -> None:
    shown = ""
    for end in range(len(text) + 1):
        whole = whole_sentences(text[:end])
        assert text.startswith(whole)
        assert whole.startswith(shown), f"{shown!r} was taken back at {text[:end]!r}"
        shown = whole
    assert len(shown) > len(text) / 2


def test_open_code_is_looked_at_a_few_times_however_long_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = list[str]()

    def masked(text: str) -> str:
        looks.append(text)
        return mask_code(text)

    monkeypatch.setattr(citations, "mask_code", masked)
    code = "".join(f"x{number} = call({number}) # Do it. Then go.\n" for number in range(100))
    assert whole_sentences(f"See this.\n\n```python\n{code}").strip() == "See this."
    assert len(looks) < 20


def test_a_sentence_is_whole_once_its_markers_can_only_be_those_it_has() -> None:
    assert whole_sentences("It is so.") == ""
    assert whole_sentences("It is so. [1] ") == ""
    assert whole_sentences("It is so. [1] T").strip() == "It is so. [1]"
    assert whole_sentences("So [1]. Then:\n\n```\nx[1]. y\n").strip() == "So [1]. Then:"


@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_sentences_in_pieces(size: int) -> None:
    sentences, grown = Sentences(), 0
    text = "No marker yet. One [1]. Two [2]. Three"
    for at in range(0, len(text), size):
        grown += sentences.grow(text[at : at + size])
    assert sentences.whole.strip() == "No marker yet. One [1]. Two [2]."
    assert grown == (1 if size == 1_000 else 2), "not before the first marker"


@cache
def opened(site: str) -> Engine:
    return open_fake(load_site(site))


async def events_of(engine: Engine, model: Model, request: AskRequest) -> list[AskEvent]:
    with model.running():
        engine.lm = LanguageModel(name="openai/rules", api_base=model.address, retries=0, timeout_s=20)
        return [event async for event in engine.events(request)]


@pytest.mark.parametrize(
    ("site", "collection", "parts"),
    [("sagedaily", "canon", ("The Tower, reversed", "The Fool, upright", "Mars")), ("builddaily", "resources", ())],
)
async def test_what_is_shown_begins_the_answer(site: str, collection: str, parts: tuple[str, ...]) -> None:
    engine, model = opened(site), Model()
    model.reply = (lambda messages: reply_to(messages)) if parts else resource
    request = AskRequest.of("How do I pin a reranker?", collection=collection, parts=parts)
    retrievals, *events = await events_of(engine, model, request)
    assert isinstance(retrievals, tuple)
    answer, so_far = events[-1], [event for event in events if isinstance(event, AnswerSoFar)]
    assert isinstance(answer, Answer)
    assert answer.mode == "lm", answer.reason
    assert so_far
    later_ones: list[AnswerSoFar | Answer] = [*so_far[1:], answer]
    for earlier, later in zip(so_far, later_ones, strict=True):
        assert later.answer.startswith(earlier.answer)
        assert later.citations[: len(earlier.citations)] == earlier.citations


def resource(messages: Messages) -> str:
    """Why, in three sentences, and how to start."""
    why = "It tells so [1]. It tells more [1]. And more [1]."
    return fields(quotes=[quote(passages(messages)[0])], page=1, why=why, how_to_start="Read it [1].")


async def test_nothing_is_shown_that_the_guard_would_refuse() -> None:
    model = Model()
    model.reply = lambda messages: in_chat([{"passage": 1, "quote": BOGUS}], "It is so [1]. Believe me [1]. Really.")
    _, *events = await events_of(opened("builddaily"), model, AskRequest.of("What is Sage Daily?"))
    assert not [event for event in events if isinstance(event, AnswerSoFar)]
    assert [event.mode for event in events if isinstance(event, Answer)] == ["extractive"]


async def test_who_wants_the_text_alone_gets_that() -> None:
    engine, model = opened("builddaily"), Model()
    with model.running():
        engine.lm = LanguageModel(name="openai/rules", api_base=model.address, retries=0, timeout_s=20)
        pieces = [piece async for piece in engine.ask_stream("What is Sage Daily?")]
    assert {type(piece) for piece in pieces} == {str, Answer}

"""A retriever survives copies, optimisers and saving without taking its store along."""

import asyncio
import copy
import json
import threading
from pathlib import Path

import dspy
import pytest
from dspy.utils import DummyLM

from builddaily.answering import ChatAnswer
from overfetch import Retrieval, SettingsError
from overfetch.leaving import whether_left
from overfetch_answers import Quote, Retriever, RetryCitations, citations_hold


class Store:
    """Fails where it is copied, as a live store would."""

    def __init__(self, retrievals: tuple[Retrieval, ...]) -> None:
        self.retrievals = retrievals
        self.questions: list[str] = []

    def __deepcopy__(self, memo: dict[int, object]) -> "Store":
        raise AssertionError("the store was copied")

    def __reduce__(self) -> str:
        raise AssertionError("the store was pickled")

    def search(self, question: str) -> tuple[Retrieval, ...]:
        self.questions.append(question)
        return self.retrievals


@pytest.fixture
def store(pages: tuple[Retrieval, ...]) -> Store:
    return Store(pages)


def chat_reply(**changes: object) -> dict[str, object]:
    quotes = [Quote(passage=1, quote="Sage is a bridge.")]
    return {"product": "Sage", "quotes": quotes, "verdict": "answered", "answer": "A bridge.", **changes}


def test_copies_are_the_retriever_itself(store: Store) -> None:
    retriever = Retriever(store.search)
    assert copy.copy(retriever) is retriever
    assert copy.deepcopy(retriever) is retriever
    assert ChatAnswer(retriever).deepcopy().retrieve is retriever


async def test_retrieves_in_both_ways(store: Store) -> None:
    retriever = Retriever(store.search)
    assert retriever("first") == await retriever.acall("second") == store.retrievals
    assert store.questions == ["first", "second"]


async def test_a_cancelled_task_reaches_its_search() -> None:
    begun, stopped = threading.Event(), threading.Event()

    def search(_: str) -> tuple[Retrieval, ...]:
        begun.set()
        if whether_left().wait(10):
            stopped.set()
        return ()

    task = asyncio.create_task(Retriever(search).acall("why"))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(stopped.wait, 5)


def test_searches_a_collection_of_an_engine(pages: tuple[Retrieval, ...]) -> None:
    class Engine:
        def search(self, collection: str, query: str, *, top_n: int) -> Retrieval:
            assert (collection, query, top_n) == ("chat", "why?", 3)
            return pages[0]

    retriever = Retriever.of(Engine(), "chat", top_n=3)  # type: ignore[arg-type]
    assert retriever("why?") == pages


def test_optimises_and_saves_without_the_store(store: Store, tmp_path: Path) -> None:
    program = ChatAnswer(Retriever(store.search))
    examples = [dspy.Example(question=q).with_inputs("question") for q in ("What is Sage?", "Tell me of Sage")]
    optimiser = dspy.BootstrapFewShot(metric=citations_hold, max_bootstrapped_demos=2, max_labeled_demos=0)
    with dspy.context(lm=DummyLM([chat_reply(), chat_reply()])):
        compiled = optimiser.compile(program, trainset=examples)
    assert compiled.retrieve is program.retrieve
    assert store.questions == ["What is Sage?", "Tell me of Sage"]

    compiled.save(tmp_path / "chat.json")
    assert set(json.loads((tmp_path / "chat.json").read_text())) == {"respond", "metadata"}
    loaded = ChatAnswer(program.retrieve)
    loaded.load(tmp_path / "chat.json")
    assert len(loaded.respond.demos) == 2
    with dspy.context(lm=DummyLM([chat_reply()])):
        assert loaded(question="What is Sage?").answer == "A bridge. [1]"


def test_a_whole_program_is_not_pickled_and_says_what_to_do(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"a Retriever is not pickled.*program\.save\(\"NAME\.json\"\)"):
        ChatAnswer(Retriever(store.search)).save(tmp_path / "whole", save_program=True)


def test_a_retry_needs_an_attempt(store: Store) -> None:
    with pytest.raises(SettingsError, match="attempts is 0; the first is one of them: give 1 or more"):
        RetryCitations(ChatAnswer(Retriever(store.search)), attempts=0)


def test_invented_quotes_do_not_become_demonstrations(store: Store) -> None:
    optimiser = dspy.BootstrapFewShot(metric=citations_hold, max_bootstrapped_demos=1, max_labeled_demos=0)
    invented = chat_reply(quotes=[Quote(passage=1, quote="Sage is a spice.")])
    with dspy.context(lm=DummyLM([invented])):
        example = dspy.Example(question="What is Sage?").with_inputs("question")
        compiled = optimiser.compile(ChatAnswer(Retriever(store.search)), trainset=[example])
    assert compiled.respond.demos == []

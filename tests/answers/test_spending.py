"""An answer that a language model wrote says what that took."""

import json
from collections.abc import Iterator

import dspy
import openai_server
import pytest
from typer.testing import CliRunner

from overfetch import Answer, Engine, LanguageModel, load_site
from overfetch.cli.main import app
from overfetch.cli.search import _told_of
from overfetch.documents import AnswerDocument
from overfetch.sites import Site
from overfetch.testing import open_fake
from overfetch.types import Written
from overfetch.workspace import Workspace
from overfetch_answers.spending import Spending

QUESTION = "What is Sage Daily?"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with openai_server.running() as address:
        yield address


@pytest.fixture
def engine(address: str) -> Engine:
    engine = open_fake(load_site("builddaily"))
    engine.lm = LanguageModel(name="openai/rules", api_base=address, timeout_s=60)
    return engine


async def test_replies_tokens_and_time_are_told(engine: Engine) -> None:
    with dspy.track_usage() as around:
        asked = engine.ask(QUESTION)
    *_, streamed = [piece async for piece in engine.ask_stream(QUESTION)]
    assert isinstance(streamed, Answer)
    for answer in (asked, streamed):
        written = answer.written
        assert written is not None
        assert (written.lm, written.program, written.replies) == ("openai/rules", None, 2), "the first is asked anew"
        assert written.input_tokens is not None
        assert written.input_tokens > 1000
        assert written.output_tokens
        assert written.ms > 0
        assert AnswerDocument.of_answer(answer).model_dump()["written"] == written.model_dump()
    assert asked.written is not None
    assert around.get_total_tokens()["openai/rules"]["prompt_tokens"] == asked.written.input_tokens


def test_quotes_cost_nothing(engine: Engine) -> None:
    engine.lm = None
    answer = engine.ask(QUESTION)
    assert answer.written is None
    assert "written" not in AnswerDocument.of_answer(answer).model_dump()


def test_what_a_server_does_not_say_is_not_made_up() -> None:
    spent = Spending()
    spent.add_usage("openai/x", {"prompt_tokens": 7, "completion_tokens": 3})
    assert spent.written("openai/x", None).input_tokens == 7
    spent.add_usage("openai/x", {"prompt_tokens": 9})
    written = spent.written("openai/x", "chat.json")
    assert (written.replies, written.input_tokens, written.output_tokens) == (2, 16, None)


def test_the_command_prints_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(workspace: Workspace, site: Site, **options: object) -> Engine:
        return engine

    monkeypatch.setattr(Workspace, "site", opened)
    shown = CliRunner().invoke(app, ["ask", "builddaily", QUESTION], env={"COLUMNS": "300"})
    assert "written by openai/rules in " in shown.stdout
    assert " ms, 2 replies: " in shown.stdout
    told = json.loads(CliRunner().invoke(app, ["ask", "builddaily", QUESTION, "--json"]).stdout)
    assert told["written"]["replies"] == 2
    some = Written(lm="openai/x", program="chat.json", replies=1, input_tokens=5, output_tokens=None, ms=12.4)
    assert _told_of(some) == "written by openai/x and chat.json in 12 ms, 1 reply"

"""`overfetch compile` and `eval --answers` end to end: command line, HTTP, rule-based model; bounded and resumable."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import openai_server
import pytest
from dspy.lm15 import Message, Request, Response
from typer.testing import CliRunner

from builddaily.answering import answer_chat
from overfetch import (
    AnswerError,
    Chunk,
    Document,
    Engine,
    Hit,
    Passage,
    Retrieval,
    SettingsError,
    Site,
    Workspace,
    load_site,
)
from overfetch.cli import compile
from overfetch.cli.main import app
from overfetch.evaluation.metrics import Difference
from overfetch.filters import parse_date
from overfetch.judged import JudgedQueries, JudgedQuery, read_judged_queries
from overfetch.testing import open_fake
from overfetch.types import Timings
from overfetch_answers.compiling import Compilation, compile_answers, latest_known
from overfetch_answers.programs import read_program
from overfetch_answers.recording import recorded
from overfetch_answers.testing import AsyncRuleBasedEngine, RuleBasedEngine
from paiddaily.answering import answer_catalysts


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with openai_server.running() as address:
        yield address


@pytest.fixture
def engine() -> Engine:
    return open_fake(load_site("builddaily"))


def judged(split: str, limit: int | None = None) -> JudgedQueries:
    folder = load_site("builddaily").collection("chat").judged
    assert folder is not None
    return read_judged_queries(folder, split, limit)


def rules() -> dspy.LM:
    return dspy.LM("rules", engine=RuleBasedEngine(), async_engine=AsyncRuleBasedEngine(), cache=False)


def run(engine: Engine, folder: Path, **changes: Any) -> Compilation:
    watched = lambda what: contextlib.nullcontext(lambda done, total: None)  # noqa: E731
    options: dict[str, Any] = {
        "optimizer": "bootstrap",
        "lm": rules(),
        "budget": 60,
        "log": folder / "log.jsonl",
        "watch": watched,
        "out": folder / "chat.json",
    }
    return compile_answers(engine, "chat", judged("dev"), judged("test"), **{**options, **changes})


def invoke(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, list(arguments), env=environment)


def open_fake_as_configured(workspace: Workspace, site: Site, **options: object) -> Engine:
    engine = open_fake(site)
    engine.lm = workspace.environment.language_model
    return engine


def test_the_command_compiles_saves_and_serves(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From question to compiled answer, over HTTP: the command saves, and the site serves what was saved."""
    monkeypatch.setenv("OVERFETCH_LM", "openai/rules")
    monkeypatch.setenv("OVERFETCH_LM_API_BASE", address)
    monkeypatch.setenv("OVERFETCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Workspace, "site", open_fake_as_configured)
    program = tmp_path / "programs" / "chat.json"
    done = invoke("compile", "builddaily/chat", "--budget", "40", "--out", str(program), "--json", "--seed", "1")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["saved"] == str(program)
    assert result["after"] > result["before"]
    assert result["difference"]["low"] > 0
    assert result["calls"] >= 60
    assert result["input_tokens"] > 1000

    monkeypatch.setattr(type(answer_chat), "program_path", lambda self, collection: program)
    answer = json.loads(invoke("ask", "builddaily/chat", "What is Sage Daily?", "--json").stdout)
    assert (answer["mode"], answer["reason"], answer["refused"]) == ("lm", None, [])
    assert answer["written"]["program"] == "chat.json"
    monkeypatch.setenv("OVERFETCH_LM", "openai/other")
    answer = json.loads(invoke("ask", "builddaily/chat", "What is Sage Daily?", "--json").stdout)
    assert (answer["mode"], answer["written"]["program"]) == ("lm", None)
    assert "served uncompiled" in answer["reason"]
    assert "lm: compiled with 'openai/rules', here 'openai/other'" in answer["reason"]


def test_a_program_serves_no_earlier_day_than_what_it_was_compiled_on(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its demonstrations are questions and passages of their day."""
    monkeypatch.setenv("OVERFETCH_LM", "openai/rules")
    monkeypatch.setenv("OVERFETCH_LM_API_BASE", address)
    monkeypatch.setenv("OVERFETCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Workspace, "site", open_fake_as_configured)
    program = tmp_path / "programs" / "catalysts.json"
    done = invoke("compile", "paiddaily/catalysts", "--budget", "60", "--out", str(program))
    assert done.exit_code == 0, done.output
    assert len(read_program(program).state["respond"]["demos"]) > 0
    assert read_program(program).known_until is None, "outcomes of no date were read"
    monkeypatch.setattr(type(answer_catalysts), "program_path", lambda self, collection: program)

    def reason(*arguments: str) -> str:
        answer = json.loads(invoke("ask", "paiddaily/catalysts", "a bridge was drained", *arguments, "--json").stdout)
        assert answer["mode"] == "lm", answer["reason"]
        return str(answer["reason"])

    assert reason() == "None"
    assert "served uncompiled: catalysts.json does not say until when" in reason("--as-of", "2026-01-31")
    program.write_text(json.dumps({**json.loads(program.read_text()), "known_until": "2026-01-31T12:00:00+00:00"}))
    assert reason() == reason("--as-of", "2026-01-31") == "None"
    assert "was compiled on what became known by 2026-01-31T12:00:00+00:00" in reason("--as-of", "2026-01-30")


def test_what_was_read_last_and_asked_last_says_until_when() -> None:
    def read(*dates: str | None) -> tuple[Retrieval, ...]:
        hits = []
        for rank, known in enumerate(dates, start=1):
            page = Document(id=str(rank), title="", text="t", metadata={"known_at": known} if known else {})
            passage = Passage.of(page, 0, Chunk(breadcrumb="", text="t", metadata=page.metadata))
            hits.append(Hit(rank=rank, passage=passage, first_stage_rank=rank, first_stage_score=1.0))
        times = Timings(embed=0, search=0, rerank=0, total=0)
        found = Retrieval(
            query="q", collection="c", hits=tuple(hits), rerank_status="off", timings_ms=times, provenance={}
        )
        return (found,)

    asked = JudgedQueries(queries=(JudgedQuery(id="q", text="q", as_of="2024-02-01"),), qrels={"q": {}})
    plain = JudgedQueries(queries=(JudgedQuery(id="q", text="q"),), qrels={"q": {}})
    found = [read("2024-01-01", "2024-03-01"), read("2024-02-01")]
    assert latest_known("known_at", [plain], found) == parse_date("2024-03-01")
    assert latest_known("known_at", [asked], [read("2024-01-01")]) == parse_date("2024-02-01", end_of_day=True)
    assert latest_known("known_at", [asked], [*found, read(None)]) is None
    assert latest_known(None, [plain], found) is None


def test_what_is_not_better_is_not_saved(engine: Engine, tmp_path: Path) -> None:
    class Unteachable(RuleBasedEngine):
        """Sees no demonstration."""

        def complete(self, request: Request) -> Response:
            return super().complete(dataclasses.replace(request, messages=request.messages[-1:]))

    result = run(engine, tmp_path, lm=dspy.LM("rules", engine=Unteachable(), cache=False))
    assert result.saved is None
    assert "not better on the test part beyond chance" in result.reason
    assert list(tmp_path.iterdir()) == [tmp_path / "log.jsonl"]


def test_the_command_ends_with_3_where_nothing_is_saved(address: str, tmp_path: Path) -> None:
    environment = {"OVERFETCH_LM_API_BASE": address, "OVERFETCH_CACHE": str(tmp_path / "cache")}
    command = ["compile", "builddaily/chat", "--lm", "openai/rules", "--budget", "1", "--out", str(tmp_path / "p.json")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile, "find_plugin", lambda *named: lambda engine, *given, **options: NOT_BETTER)
        done = invoke(*command, **environment)
    assert done.exit_code == 3, done.output
    assert "not saved: no gain" in done.stdout


NOT_BETTER = Compilation(
    collection="builddaily/chat",
    optimizer="bootstrap",
    lm="openai/rules",
    seed=0,
    train_queries=1,
    dev_queries=1,
    test_queries=1,
    before=0.5,
    after=0.5,
    difference=Difference(mean=0, low=0, high=0, p=1, queries=1, differing=0),
    calls=1,
    replayed_calls=0,
    input_tokens=1,
    output_tokens=1,
    saved=None,
    reason="no gain",
)


def test_an_interrupted_run_goes_on_from_its_log(engine: Engine, tmp_path: Path) -> None:
    first = run(engine, tmp_path)
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    assert first.replayed_calls == 0
    assert len(log) == first.calls
    (tmp_path / "log.jsonl").write_text("\n".join(log[:30]) + '\n{"key": "half a li')
    second = run(engine, tmp_path)
    assert second.replayed_calls == 30
    assert second == first.model_copy(update={"replayed_calls": 30})


def test_train_and_test_never_mix(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="queries are in both parts, such as"):
        compile_answers(
            engine,
            "chat",
            judged("test"),
            judged("test", 3),
            optimizer="bootstrap",
            lm=rules(),
            budget=9,
            log=tmp_path / "log",
            watch=lambda what: contextlib.nullcontext(lambda done, total: None),
        )


def test_a_budget_bounds_the_calls(tmp_path: Path) -> None:
    model, calls = recorded(rules(), tmp_path / "log")
    told: list[tuple[int, int]] = []
    with dspy.context(lm=model), calls.watched(lambda done, total: told.append((done, total)), 2, limited=True):
        ask = dspy.Predict("question -> answer")
        ask(question="one")
        ask(question="two")
        with pytest.raises(dspy.LMError, match="the budget of 2 calls is spent"):
            ask(question="three")
    assert calls.calls == 2
    assert told == [(1, 2), (2, 2)]


def test_the_log_keeps_replies_with_any_line_separator(tmp_path: Path) -> None:
    class Separating(RuleBasedEngine):
        def complete(self, request: Request) -> Response:
            return dataclasses.replace(
                super().complete(request), message=Message.assistant("a\u2028b\u2029c\x85d\x0be\x1ef\rg")
            )

    def ask() -> tuple[str, int]:
        model, calls = recorded(dspy.LM("rules/x", engine=Separating(), cache=False), tmp_path / "log")
        return model("why")[0], calls.replayed

    first, replayed = ask()
    assert replayed == 0
    assert ask() == (first, 1)


def test_a_model_that_never_answers_is_an_error(engine: Engine, tmp_path: Path) -> None:
    class Broken:
        def complete(self, request: object) -> None:
            raise dspy.lm15.ServerError("down")

    with pytest.raises(AnswerError, match=r"LMServerError: .*down\); the fault is its server's"):
        run(engine, tmp_path, lm=dspy.LM("rules", engine=Broken(), cache=False, num_retries=0))


def test_a_model_that_never_replies_in_form_is_quoted(engine: Engine, tmp_path: Path) -> None:
    class Chatting(RuleBasedEngine):
        def complete(self, request: Request) -> Response:
            return dataclasses.replace(super().complete(request), message=Message.assistant("Hello there."))

    with pytest.raises(AnswerError, match=r"replied in no readable form: 'Hello there\.'"):
        run(engine, tmp_path, lm=dspy.LM("rules", engine=Chatting(), cache=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compile", "builddaily"], "is a site: name one of its collections"),
        (["compile", "builddaily/chat"], "which language model? give --lm"),
        (["compile", "builddaily/chat", "--lm", "openai/x", "--train", "none"], "none.tsv is missing"),
        (["eval", "builddaily", "--answers"], "is a site: name one of its collections"),
    ],
)
def test_wrong_usage_says_what_to_do(arguments: list[str], message: str) -> None:
    done = invoke(*arguments)
    assert done.exit_code in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_answers_are_evaluated_without_a_language_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workspace, "site", open_fake_as_configured)
    done = invoke("eval", "builddaily/chat", "--answers", "--limit-queries", "4", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["modes"] == {"extractive": 4}
    assert result["metrics"]["held"]["mean"] == 1.0
    assert 0 < result["metrics"]["cited"]["mean"] <= 1
    assert "answered extractively" in invoke("eval", "builddaily/chat", "--answers", "--limit-queries", "4").stdout

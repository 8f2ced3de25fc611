"""Saved programs: every site's module through every optimiser, saved, loaded in a fresh process; misfits refused."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import dspy
import pytest

import overfetch_answers.programs as programs
from builddaily.answering import ChatAnswer
from overfetch import AnswerError, Engine, ProgramMismatch, Retrieval, load_site
from overfetch.filters import parse_date
from overfetch.judged import read_judged_queries
from overfetch.testing import FakeReranker, fake_spec, open_fake
from overfetch.types import AsOf
from overfetch_answers import Retriever, load_program, provenance_of, read_program, save_program
from overfetch_answers.compiling import find_answers
from overfetch_answers.optimizing import Optimizer, Task, optimize
from overfetch_answers.testing import AsyncRuleBasedEngine, RuleBasedEngine

COLLECTIONS = ("builddaily/chat", "builddaily/resources", "paiddaily/tickers", "paiddaily/catalysts", "sagedaily/canon")
OPTIMIZERS: tuple[Optimizer, ...] = ("bootstrap", "random", "mipro", "gepa")
PROVENANCE = {"collection": "builddaily/chat", "embedder": "minilm", "reranker": "mini@1", "lm": "rules"}
# What a fresh process does: load each program and answer its questions.
FRESH = """
import json, sys
from answering_rounds import answers_of
print(json.dumps([answers_of(*job) for job in json.loads(sys.stdin.read())]))
"""


def rules() -> dspy.LM:
    return dspy.LM("rules", engine=RuleBasedEngine(), async_engine=AsyncRuleBasedEngine(), cache=False)


class Search:
    """Found once a question; a copy of it would be a copy of a store."""

    def __init__(self, engine: Engine, collection: str) -> None:
        self.engine, self.collection = engine, collection
        self.found: dict[str, tuple[Retrieval, ...]] = {}

    def __call__(self, question: str) -> tuple[Retrieval, ...]:
        if question not in self.found:
            self.found[question] = (self.engine.search(self.collection, question),)
        return self.found[question]

    def __deepcopy__(self, memo: object) -> "Search":
        raise AssertionError("the store was copied")

    def __reduce__(self) -> str:
        raise AssertionError("the store was pickled")


@cache
def fake(site: str) -> Engine:
    """One for all rounds: it indexes the samples."""
    return open_fake(load_site(site))


def answers_of(target: str, path: str, questions: list[str]) -> list[list[Any]]:
    """Answers and citations of the module of `target` with the program at `path`."""
    site, _, collection = target.partition("/")
    engine = fake(site)
    module = find_answers(engine, collection).module(Retriever(Search(engine, collection)))
    provenance = provenance_of(engine.search(collection, questions[0]), "rules")
    program = load_program(module, Path(path), provenance=provenance)
    with dspy.context(lm=rules()):
        predictions = [program(question=question) for question in questions]
    return [[p.answer, [c.model_dump() for c in p.citations]] for p in predictions]


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, list[str], Any]]:
    """(collection, path, questions, answers before saving) of every module and every optimiser."""
    folder = tmp_path_factory.mktemp("programs")
    return [
        compile_and_save(target, optimizer, folder / f"{target.replace('/', '-')}-{optimizer}.json")
        for target in COLLECTIONS
        for optimizer in OPTIMIZERS
    ]


def compile_and_save(target: str, optimizer: Optimizer, path: Path) -> tuple[str, str, list[str], Any]:
    site, _, collection = target.partition("/")
    engine = fake(site)
    retriever = Retriever(Search(engine, collection))
    student = find_answers(engine, collection).module(retriever)
    judged = engine.site.collection(collection).judged
    assert judged is not None
    learning = read_judged_queries(judged, "dev", 16)
    examples = [
        dspy.Example(question=q.text, relevant=list(learning.qrels[q.id])).with_inputs("question")
        for q in learning.queries
    ]
    compiled = optimize(Task(student, examples[::2], examples[1::2], rules(), budget=60), optimizer)
    assert compiled.retrieve is retriever
    provenance = provenance_of(engine.search(collection, examples[0].question), "rules")
    save_program(compiled, path, student=student, provenance=provenance)
    questions = [q.text for q in read_judged_queries(judged, "test", 3).queries]
    with dspy.context(lm=rules()):
        predictions = [compiled(question=question) for question in questions]
    answers = [[p.answer, [c.model_dump() for c in p.citations]] for p in predictions]
    return target, str(path), questions, answers


def test_every_module_survives_every_optimiser_and_a_fresh_process(
    rounds: list[tuple[str, str, list[str], Any]], pytestconfig: pytest.Config
) -> None:
    code = FRESH.replace("from answering_rounds", "from test_programs")
    jobs = json.dumps([job[:3] for job in rounds])
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=jobs,
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [job[3] for job in rounds]


def test_optimisers_changed_what_is_saved(rounds: list[tuple[str, str, list[str], Any]]) -> None:
    """Demonstrations or instructions: else the round trip would prove nothing."""
    changed = 0
    for _, path, _, _ in rounds:
        saved = read_program(Path(path))
        state = saved.state["respond"]
        changed += (
            bool(state["demos"]) or state["signature"]["instructions"] != saved.signatures["respond"].instructions
        )
    assert changed >= 0.9 * len(rounds)


class Ask(dspy.Signature):
    """Answer the question."""

    question: str = dspy.InputField()
    context: list[str] = dspy.InputField(desc="what is known")
    answer: str = dspy.OutputField()


class Plain(dspy.Module):
    """A module of a user, who knows nothing of sites."""

    def __init__(self, signature: Any = Ask, name: str = "respond") -> None:
        super().__init__()
        setattr(self, name, dspy.ChainOfThought(signature))

    def forward(self, **inputs: Any) -> dspy.Prediction:
        return self.respond(**inputs)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "plain.json"
    compiled = Plain()
    compiled.respond.predict.demos = [dspy.Example(question="1 + 1?", context=["sums"], answer="2")]
    compiled.respond.predict.signature = compiled.respond.predict.signature.with_instructions("Count.")
    save_program(compiled, path, student=Plain(), provenance=PROVENANCE)
    return path


def test_a_plain_module_is_saved_and_loaded(saved: Path) -> None:
    student = Plain()
    program = load_program(student, saved, provenance=PROVENANCE)
    assert program.respond.predict.signature.instructions == "Count."
    assert [demo["answer"] for demo in program.respond.predict.demos] == ["2"]
    assert student.respond.predict.demos == []
    assert list(saved.parent.iterdir()) == [saved]


@pytest.mark.parametrize(
    ("student", "difference"),
    [
        (Plain(Ask.with_instructions("Answer in rhyme.")), "respond.predict: the instructions changed"),
        (
            Plain(Ask.insert(1, "style", dspy.InputField(), str)),
            "fields were question, context, reasoning, answer; are",
        ),
        (
            Plain("context: list[str], question -> answer"),
            "reasoning, answer; are context, question, reasoning, answer",
        ),
        (Plain(Ask.with_updated_fields("answer", type_=int)), "respond.predict.answer: type was"),
        (Plain(Ask.with_updated_fields("context", desc="facts")), "context: description was what is known, is facts"),
        (Plain(name="reply"), "predictor 'respond.predict' is not in the module, which has ['reply.predict']"),
    ],
)
def test_another_signature_is_refused_by_name(saved: Path, student: Plain, difference: str) -> None:
    with pytest.raises(ProgramMismatch) as caught:
        load_program(student, saved, provenance=PROVENANCE)
    assert difference in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("collection", "builddaily/resources"), ("reranker", "mini@2"), ("embedder", "e5"), ("lm", "x")]
)
def test_another_provenance_is_refused_by_name(saved: Path, name: str, value: str) -> None:
    with pytest.raises(ProgramMismatch, match=f"{name}: compiled with '{PROVENANCE[name]}', here '{value}'"):
        load_program(Plain(), saved, provenance={**PROVENANCE, name: value})


def test_who_ordered_the_passages_of_a_request_matters_to_no_program(tmp_path: Path) -> None:
    """A faster model under a short deadline, or within another budget: the program reads what was found."""
    engine, faster = open_fake(load_site("builddaily")), FakeReranker()
    faster.spec = fake_spec("reranker", "faster").within(900)
    usual = engine.search("chat", "What is Sage?")
    engine.reranker = faster
    served = engine.search("chat", "What is Sage?")
    assert usual.provenance["reranker"] != served.provenance["reranker"]
    assert served.provenance["read_tokens"] == "900"
    save_program(Plain(), tmp_path / "p.json", student=Plain(), provenance=provenance_of(usual, "lm"))
    load_program(Plain(), tmp_path / "p.json", provenance=provenance_of(served, "lm"))


@pytest.mark.parametrize(
    ("known_until", "refused"),
    [
        (parse_date("2024-01-31T12:00:00"), None),
        (parse_date("2024-02-01"), "compiled on what became known by 2024-02-01T00:00:00+00:00, after 2024-01-31T23:5"),
        (None, "does not say until when"),
    ],
)
def test_a_program_tells_of_nothing_later(tmp_path: Path, known_until: datetime | None, refused: str | None) -> None:
    path, bound = tmp_path / "p.json", AsOf(field="known_at", moment=parse_date("2024-01-31", end_of_day=True))
    save_program(Plain(), path, student=Plain(), provenance={}, known_until=known_until)
    assert read_program(path).known_until == known_until
    assert load_program(Plain(), path, provenance={})
    with pytest.raises(ProgramMismatch, match=re.escape(refused)) if refused else nullcontext():
        load_program(Plain(), path, provenance={}, as_of=bound)


def test_a_change_inside_an_output_type_is_refused(tmp_path: Path, pages: tuple[Retrieval, ...]) -> None:
    path = tmp_path / "chat.json"
    student = ChatAnswer(Retriever.fixed(pages))
    save_program(student, path, student=student, provenance={})
    file = json.loads(path.read_text())
    quotes = next(f for f in file["signatures"]["respond"]["fields"] if f["name"] == "quotes")
    quotes["type"]["$defs"]["Quote"]["properties"]["page"] = {"type": "integer"}
    path.write_text(json.dumps(file))
    with pytest.raises(ProgramMismatch, match=r"respond\.quotes: type was"):
        load_program(student, path, provenance={})


@pytest.mark.parametrize("version", ["3.3.9", "3.5.0", "2.6.27"])
def test_another_dspy_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    file = json.loads(saved.read_text())
    saved.write_text(json.dumps({**file, "dspy": version}))
    with pytest.raises(ProgramMismatch, match=f"saved with DSPy {version}"):
        load_program(Plain(), saved, provenance=PROVENANCE)
    saved.write_text(json.dumps(file))
    monkeypatch.setattr(programs, "version", lambda package: version)
    with pytest.raises(ProgramMismatch, match=f"running on DSPy {version}"):
        load_program(Plain(), saved, provenance=PROVENANCE)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 2}', "\x80pickle"])
def test_what_is_no_program_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "program.json"
    path.write_text(content)
    with pytest.raises(AnswerError, match="is no saved program"):
        load_program(Plain(), path, provenance={})
    with pytest.raises(AnswerError, match="cannot read the program"):
        load_program(Plain(), tmp_path / "none.json", provenance={})


def test_a_file_of_dspys_own_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a path may be a string."""
    monkeypatch.chdir(tmp_path)
    Plain().save("own.json")
    with pytest.raises(AnswerError, match=r"own\.json is DSPy's own file.*write it by overfetch_answers\.save_program"):
        load_program(Plain(), "own.json", provenance={})
    save_program(Plain(), "p.json", student=Plain(), provenance={})
    assert load_program(Plain(), "p.json", provenance={}).respond


def test_a_failed_save_leaves_the_old_program(saved: Path) -> None:
    before = saved.read_bytes()
    broken = Plain()
    broken.respond.predict.demos = [dspy.Example(question="?", context=[], answer=object())]
    with pytest.raises(AnswerError, match="holds what is no JSON"):
        save_program(broken, saved, student=Plain(), provenance=PROVENANCE)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_no_key_is_saved(tmp_path: Path) -> None:
    program = Plain()
    program.set_lm(dspy.LM("openai/test", api_key="sk-secret", api_base="http://127.0.0.1:1/v1"))
    save_program(program, tmp_path / "p.json", student=Plain(), provenance={})
    assert "sk-secret" not in (tmp_path / "p.json").read_text()
    assert "127.0.0.1" not in (tmp_path / "p.json").read_text()


def test_a_retriever_of_dspy_is_named(tmp_path: Path) -> None:
    program = Plain()
    program.retrieve = dspy.Retrieve(k=3)
    with pytest.raises(AnswerError, match=r"belongs into overfetch_answers\.Retriever"):
        save_program(program, tmp_path / "p.json", student=Plain(), provenance={})

"""The README's examples run, and its printed output is the real one; so does the tutorial of CONTRIBUTING.md."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfetch.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MEMBERS = sorted([*ROOT.glob("packages/*/README.md"), *ROOT.glob("sites/*/README.md")])
A_MODEL = re.compile(r'dspy\.LM\("[^"]+"\)')
RULES = "__import__('overfetch_answers.testing').testing.rule_based_model()"
PROGRAM = re.compile(r"uv run(?: --(?:extra|with|group) \S+)* overfetch")
TUTORIAL = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## A new site in an afternoon")[2]
STEP = re.compile(r"^```(sh|python|diff)\n(?:# (sites/\S+)\n)?(.*?)^```", re.DOTALL | re.MULTILINE)
IN_THE_ENVIRONMENT = re.compile(r"\buv run(?: --package \S+)? ")
TIMES = re.compile(r"embed \d+ \+ search \d+ \+ rerank \d+ = \d+ ms")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(language: str, text: str = README) -> list[list[str]]:
    """Arguments of every `uv run ... overfetch` line, without the environment before it."""
    return [arguments for block in blocks(language, text) for arguments, _ in programs(block)]


def programs(block: str) -> list[tuple[list[str], str]]:
    """The same of one block, each with the lines before it that make what it needs."""
    found, making = [], ""
    for line in block.splitlines():
        parts = PROGRAM.split(line)
        if len(parts) == 2:
            found.append((shlex.split(parts[1], comments=True), making))
        else:
            making += f"{line}\n"
    return found


@pytest.fixture(autouse=True)
def one_store(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As on a reader's machine: what one example indexed, the next one finds."""
    monkeypatch.setenv("OVERFETCH_QDRANT", f"file:{tmp_path_factory.getbasetemp() / 'readme-store'}")


@pytest.mark.parametrize("source", blocks("python"))
def test_python_examples_run(source: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize(
    ("member", "source"),
    [(path.parent.name, source) for path in MEMBERS for source in blocks("python", path.read_text(encoding="utf-8"))],
)
def test_python_examples_of_members_run(member: str, source: str, tmp_path: Path) -> None:
    """With a model that answers by rules in place of the one that they name."""
    test_python_examples_run(A_MODEL.sub(RULES, source), tmp_path)


def test_a_member_has_an_example() -> None:
    assert any(blocks("python", path.read_text(encoding="utf-8")) for path in MEMBERS)


@pytest.mark.parametrize(
    ("arguments", "making"),
    [part for block in blocks("sh") for part in programs(block)],
    ids=lambda p: " ".join(p)[:60],
)
def test_commands_run(arguments: list[str], making: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["bash", "-ec", making], check=True)
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip()


@pytest.mark.parametrize(
    "arguments",
    [
        part
        for text in (README, *(path.read_text(encoding="utf-8") for path in MEMBERS))
        for part in commands("bash", text)
    ],
    ids=" ".join,
)
def test_commands_that_need_more_are_spelt_right(arguments: list[str]) -> None:
    """They need a network or files of the reader: every option they name exists."""
    words = [word for word in arguments if re.fullmatch(r"[a-z]+", word)]
    depth = 2 if words[0] in ("models", "bench", "keys") else 1
    told = CliRunner().invoke(app, [*words[:depth], "--help"], env={"COLUMNS": "200"})
    assert told.exit_code == 0
    assert all(option in told.output for option in arguments if option.startswith("--"))


def test_the_printed_output_is_the_real_one() -> None:
    expected = blocks("text")[0]
    done = CliRunner().invoke(app, commands("sh")[0])
    assert TIMES.sub("", done.stdout).strip() == TIMES.sub("", expected).strip()


@pytest.mark.slow
def test_the_tutorial_makes_a_site(tmp_path: Path, install_site: Callable[[Path], dict[str, str]]) -> None:
    """Step by step, in a workspace of this one's settings and documents; `uv run` is the environment of the tests.

    To be quick, it reads a third of the words: without overfetch-mini's tables, and with the smallest models.
    """
    documents = [path for path in (*ROOT.glob("*.md"), *MEMBERS) if "overfetch-mini" not in path.parts]
    for path in (ROOT / "pyproject.toml", *documents):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**os.environ, "PATH": programs, "OVERFETCH_PROFILE": "mini-fast"}
    first, *rest = STEP.findall(TUTORIAL)
    take_step(*first, folder=tmp_path, variables=variables)
    variables |= install_site(tmp_path / "sites/overfetchdocs")
    printed = [take_step(*step, folder=tmp_path, variables=variables) for step in rest]
    assert "Not in the sources: OVERFETCH_LM_MOOD." in printed[-1]
    run_block("ruff check sites; ruff format --check sites", tmp_path, variables)


def take_step(language: str, path: str, source: str, *, folder: Path, variables: dict[str, str]) -> str:
    """What a reader does with a block: saves it under the name in its first line, applies it, or runs it."""
    if path:
        (folder / path).write_text(source, encoding="utf-8")
        return ""
    if language == "diff":
        return run_block(f"git apply <<'END'\n{source}END\n", folder, variables)
    return run_block(IN_THE_ENVIRONMENT.sub("", source), folder, variables)


def run_block(source: str, folder: Path, variables: dict[str, str]) -> str:
    command = ["bash", "-ec", source]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""`overfetch new-site`: what it makes is installed, tested, searched; what it cannot make leaves nothing behind."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfetch import SettingsError
from overfetch.cli.main import app
from overfetch.new_site import LONGEST_NAME, QUESTION, new_site, template_files

ROOT = Path(__file__).parents[2]
NAME = "fourthsite"


def run(*command: str, folder: Path, variables: Mapping[str, str]) -> str:
    program, *arguments = command
    done = subprocess.run(
        [Path(sys.executable).parent / program, *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with this one's settings and nothing in it."""
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def create(workspace: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, object]:
    monkeypatch.chdir(workspace)
    done = CliRunner().invoke(app, ["new-site", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    document: dict[str, object] = json.loads(done.stdout)
    return document


@pytest.mark.slow
def test_a_new_site_passes_its_own_tests_and_answers(
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    install_site: Callable[[Path], dict[str, str]],
) -> None:
    made = create(workspace, monkeypatch, NAME)
    package = workspace / "sites" / NAME
    assert made["folder"] == str(package)
    variables = install_site(package)
    tested = run("pytest", "-q", str(package), folder=workspace, variables=variables)
    assert "skipped" not in tested
    lacking = tmp_path / "dspy.py"
    lacking.write_text("raise ModuleNotFoundError('not installed', name='dspy')")
    without = {"PYTHONPATH": os.pathsep.join([str(tmp_path), variables["PYTHONPATH"]])}
    assert "2 skipped" in run("pytest", "-q", str(package), folder=workspace, variables=without)
    assert f"{NAME}/pages" in run("overfetch", "sites", folder=workspace, variables=variables)
    found = json.loads(run("overfetch", "search", NAME, QUESTION, "--json", folder=workspace, variables=variables))
    assert found["hits"][0]["document_id"] == "own-documents"


@pytest.mark.parametrize("name", ["aardvark", "zebra", "o" * LONGEST_NAME])
def test_it_is_formatted_whatever_it_is_called(workspace: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Where the name stands among the imports, and how long the lines get, depends on it."""
    create(workspace, monkeypatch, name)
    for check in (["check"], ["format", "--check"]):
        run("ruff", *check, "--no-cache", f"sites/{name}", folder=workspace, variables={})


def test_nothing_of_the_template_keeps_its_name(tmp_path: Path) -> None:
    files = new_site(NAME, tmp_path / "made")
    assert len(files) == len([*template_files()])
    assert not [path for path in files if "mysite" in path.as_posix() or "mysite" in path.read_text(encoding="utf-8")]


def test_elsewhere_it_lies_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(tmp_path, monkeypatch, NAME)
    assert made["folder"] == str(tmp_path / NAME)
    assert made["next"] == [
        f"uv pip install -e {NAME} --group {NAME}/pyproject.toml:dev",
        f'overfetch search {NAME} "{QUESTION}"',
        f"python -m pytest {NAME}",
        f"overfetch eval {NAME}/pages",
    ]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    assert new_site(NAME, tmp_path / "made")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("My-Site", "'my_site' would do"),
        ("4th", "begins with a letter; 'th' would do"),
        ("a__b", "single underscores"),
        ("", "begins with a letter$"),
        ("o" * (LONGEST_NAME + 1), f"up to {LONGEST_NAME} lower-case letters"),
        ("class", "a keyword of Python"),
        ("json", "standard library"),
        ("builddaily", "an installed site"),
        ("overfetch_mini", "an installed module"),
        ("pyyaml", "the installed distribution PyYAML"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=reason):
        new_site(name, tmp_path / "made")
    assert [*tmp_path.iterdir()] == []


def test_a_folder_in_use_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).mkdir()
    (Path(NAME) / "notes.txt").write_text("mine", encoding="utf-8")
    refused = CliRunner().invoke(app, ["new-site", NAME])
    assert refused.exit_code == 2
    assert f"{NAME} is there already and is not empty; choose another place with --folder" in refused.stderr
    assert [path.name for path in Path(NAME).iterdir()] == ["notes.txt"]


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="disk full"):
        new_site(NAME, tmp_path / "made")
    assert [*tmp_path.iterdir()] == []

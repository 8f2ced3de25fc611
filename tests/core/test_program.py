"""The installed program among others: pipes, full disks, terminals with few letters, nobody who watches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from overfetch.cli import progress
from overfetch.cli.main import app

OVERFETCH = str(Path(sys.executable).parent / "overfetch")


def shell(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`overfetch` stands for the program in it."""
    environment = {**os.environ, "PATH": f"{Path(OVERFETCH).parent}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["bash", "-c", command], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("command", ["sites", "sites --json", "models list", "--help", "sites --help"])
class TestOutput:
    def test_who_reads_no_further_ends_it_quietly(self, command: str) -> None:
        done = shell(f"overfetch {command} | true; echo ${{PIPESTATUS[0]}}; overfetch {command} | head -1 >/dev/null")
        assert (done.stdout, done.stderr) == ("0\n", "")

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
    def test_a_full_disk_is_told_in_one_line(self, command: str) -> None:
        done = shell(f"overfetch {command} > /dev/full")
        assert (done.returncode, done.stderr) == (1, "error: cannot write the output: No space left on device\n")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_that_has_few_letters(encoding: str, tmp_path: Path) -> None:
    source = tmp_path / "source.jsonl"
    source.write_text(json.dumps({"_id": "κ", "title": "“Tower”", "text": "The tower → falls…"}))
    assert shell(f"overfetch index sagedaily --source {source}", PYTHONIOENCODING=encoding).returncode == 0
    for options in ("", " --json"):
        done = subprocess.run(
            ["bash", "-c", f"{OVERFETCH} search sagedaily tower --no-rerank{options}"],
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown = done.stdout.decode(encoding)
        assert json.loads(shown)["hits"][0]["document_id"] == "κ" if options else "?Tower?" in shown


def test_the_version() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("overfetch 0.")


def test_empty_options_are_not_taken_for_none() -> None:
    for arguments, complaint in (
        (["ask", "sagedaily", "why", "--part", ""], "a part of the question is empty (given '')"),
        (["index", "sagedaily", "--partition", ""], "bad partition ''"),
        (["search", "sagedaily", "why", "--profile", ""], "unknown profile ''"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"error: {complaint}")


def test_ask_has_what_search_has() -> None:
    told = [
        {word for word in CliRunner().invoke(app, [command, "--help"]).stdout.split() if word.startswith("--")}
        for command in ("search", "ask")
    ]
    assert told[0] <= told[1]
    result = CliRunner().invoke(app, ["ask", "sagedaily", "why", "--first-stage", "sparse"])
    assert result.exit_code == 2
    assert "first_stage: Input should be" in result.stderr


def test_who_does_not_watch_is_told_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = iter([0.0, 5.0, 11.0, 11.0, 12.0, 12.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr("overfetch.cli.progress.time.monotonic", lambda: next(moments))
    with progress.progress_bar("indexing a/b") as tell:
        tell(1000, None)
        tell(4261, None)
        tell(20, 9000)
        tell(2560, 9000)
    assert capsys.readouterr().err == "indexing a/b: reading 4,261\nindexing a/b: 2,560 of 9,000, about 50 s left\n"


def test_a_file_that_cannot_be_read_is_named_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "title": "A", "text": "a"}')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "a"}')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_bytes(b"\xff\xfe\tq\n")
    result = CliRunner().invoke(app, ["eval", str(tmp_path)])
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")

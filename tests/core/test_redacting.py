"""Keys and passwords are in no message, and no foreign byte steers the terminal."""

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from overfetch.cli.main import app
from overfetch.cli.terminal import print_json
from overfetch.environment import read_environment
from overfetch.errors import ModelError, OverfetchError, SettingsError
from overfetch.inference.remote import Endpoint
from overfetch.redacting import keep_secret, redacted, visible
from overfetch.types import LanguageModel

PASSWORD, KEY = "hunter2horse", "sk-0123456789abcdef"


class Echoing(BaseHTTPRequestHandler):
    """Refuses every key, and repeats it, in a long reply that is cut somewhere."""

    def do_POST(self) -> None:
        given = " ".join(f"{name}={value}" for name, value in self.headers.items() if name == "Authorization")
        body = f"{'x' * 180} bad key {given} {given.split(' ')[-1]} at {self.path}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def echo() -> Iterator[str]:
    """HOST:PORT of a server that repeats the keys that it refuses."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echoing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:pass@host:1/a?b=c", "http://***@host:1/a?b=c"),
        ("grpc://token@host", "grpc://***@host"),
        ("http://me:p@ss:w@host/", "http://***@host/"),
        ("https://host/?to=http://there?api_key=abc&x=1", "https://host/?to=http://there?api_key=***&x=1"),
        ("/first.last:word@host", "/first.***@host"),
        ("image/name:tag@sha256:0a1b is a digest", "image/name:tag@sha256:0a1b is a digest"),
        ("of me:pa:ss@host and you:word@there, @ 5:30", "of ***@host and ***@there, @ 5:30"),
        ("'me:pass@host:6333' is no address", "'***@host:6333' is no address"),
        ("https://host/v1?top=3&api_key=abc#x", "https://host/v1?top=3&api_key=***#x"),
        ("https://host/v1?access_token=abc; else", "https://host/v1?access_token=***; else"),
        ("Authorization: Bearer abcdefgh.ij", "Authorization: Bearer ***"),
        ("write to me@example.org, at 10:30", "write to me@example.org, at 10:30"),
        ("overfetch/mini@0123#fp32", "overfetch/mini@0123#fp32"),
        ("provided: sk-live-9999, or gsk_abc123def456", "provided: ***, or ***"),
        ("sk-learn-contrib, task-2024-10-12, pk-list", "sk-learn-contrib, task-2024-10-12, pk-list"),
    ],
)
def test_what_an_address_holds_is_taken_out(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "unit", ["a", "a:", ":", "@", "a:b@", "://", "?key", "?keykey=", "key", "Bearer ", "Bearer", "a.b-", "sk-", "sk-a"]
)
def test_no_text_holds_it_up(unit: str) -> None:
    """A hostile body of a request is told of in the problem that refuses it."""
    began = time.process_time()
    redacted(unit * (1_000_000 // len(unit)))
    redacted("?" + unit * (1_000_000 // len(unit)))
    assert time.process_time() - began < 5


def test_every_error_is_without_known_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_secret(KEY, f"http://me:{PASSWORD}%21@host")
    monkeypatch.setenv("SOMEONE_API_KEY", "another-0123456789")
    told = str(OverfetchError(f"401: {KEY} {PASSWORD}! {PASSWORD}%21 another-0123456789"))
    assert told == "401: *** *** *** ***"


def test_settings_are_shown_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("QDRANT", "LM_API_BASE", "RERANK_URL", "EMBED_URL"):
        monkeypatch.setenv(f"OVERFETCH_{name}", f"http://me:{PASSWORD}@host:1/rerank?api_key={KEY}")
    environment = read_environment()
    lm = LanguageModel(name="openai/x", api_base=f"http://me:{PASSWORD}@host", api_key=KEY)
    for shown in (f"{environment!r} {environment}", f"{lm!r} {lm}"):
        assert PASSWORD not in shown
        assert KEY not in shown
    monkeypatch.setenv("OVERFETCH_RERANK_URL", f"ftp://me:{PASSWORD}@host")
    with pytest.raises(SettingsError) as refused:
        read_environment()
    assert PASSWORD not in str(refused.value)


def test_a_key_that_a_server_repeats_is_not_repeated(echo: str) -> None:
    for endpoint in (Endpoint(f"http://{echo}/rerank?token={KEY}x", KEY), Endpoint(f"http://me:{PASSWORD}@{echo}/r")):
        with pytest.raises(ModelError, match="answered 401") as refused:
            endpoint.post({})
        told = str(refused.value)
        assert "sk-0" not in told
        assert PASSWORD not in told
        assert "bWU6" not in told, "nor as a header has it"


def test_a_password_in_the_store_s_address_is_in_no_message(
    echo: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OVERFETCH_QDRANT_RETRIES", "1")
    monkeypatch.setenv("OVERFETCH_QDRANT_API_KEY", KEY)
    for host in (echo, "127.0.0.1:9"):
        monkeypatch.setenv("OVERFETCH_QDRANT", f"http://me:{PASSWORD}@{host}")
        with caplog.at_level(logging.WARNING):
            result = CliRunner().invoke(app, ["status", "sagedaily"])
        assert result.exit_code == 1
        assert result.stderr.startswith("error: ")
        for shown in (result.output, caplog.text):
            assert PASSWORD not in shown
            assert "sk-0" not in shown


def test_a_failing_reranker_s_reason_holds_no_key(echo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_RERANK_URL", f"http://{echo}/rerank?key={KEY}y")
    monkeypatch.setenv("OVERFETCH_RERANK_API_KEY", KEY)
    result = CliRunner().invoke(app, ["search", "sagedaily", "the tower", "--json"])
    assert json.loads(result.stdout)["rerank_status"] == "failed"
    assert "sk-0" not in result.output


def test_control_bytes_are_spelt_out() -> None:
    assert visible("a\x1b]0;owned\x07\x9b2J\r\nb\tc\rd") == "a\\x1b]0;owned\\x07\\x9b2J\nb\tc\\x0dd"


def test_titles_and_texts_cannot_steer_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m"
    source = tmp_path / "evil.jsonl"
    source.write_text(json.dumps({"_id": f"t{evil}", "title": f"Tower{evil}", "text": f"The tower falls.{evil}"}))
    for arguments in (["index", "sagedaily", "--source", str(source)], ["search", "sagedaily", "tower"]):
        assert _is_plain(CliRunner().invoke(app, arguments).output)
    for arguments in (["ask", "sagedaily", "why does the tower fall"], ["search", "nowhere\x1b[2J", "q"]):
        assert _is_plain(CliRunner().invoke(app, arguments).output)
    found = CliRunner().invoke(app, ["search", "sagedaily", "tower", "--json"]).stdout
    assert _is_plain(found)
    assert json.loads(found)["hits"][0]["title"] == f"Tower{evil}"


def _is_plain(shown: str) -> bool:
    assert shown.strip()
    return not any(byte in shown for byte in "\x1b\x07\x9b")


def test_json_for_a_terminal_that_has_few_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", written)
    document: dict[str, Any] = {"text": "κ\udcff \x85"}
    print_json(document)
    written.flush()
    assert json.loads(written.buffer.getvalue()) == document


def test_the_language_model_s_address_and_key_are_in_no_reason(
    echo: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OVERFETCH_LM", "openai/some")
    monkeypatch.setenv("OVERFETCH_LM_API_KEY", KEY)
    for address in (f"http://{echo}/v1?api_key={KEY}z", f"http://me:{PASSWORD}@{echo}/v1"):
        monkeypatch.setenv("OVERFETCH_LM_API_BASE", address)
        result = CliRunner().invoke(app, ["ask", "sagedaily", "why does the tower fall", "--no-rerank", "--json"])
        answer = json.loads(result.stdout)
        assert answer["mode"] == "extractive"
        assert "openai/some" in answer["reason"]
        for shown in (result.output, caplog.text):
            assert PASSWORD not in shown
            assert "sk-0" not in shown

"""`overfetch keys`, and the file that a service reads them from."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from overfetch.cli.main import app
from overfetch.errors import SettingsError
from overfetch_serve.errors import KeysUnreadable, NotAuthenticated
from overfetch_serve.keys import SETTLED_NS, Keys

KEY = re.compile(r"of_[0-9a-f]{12}_[\w-]{43}")


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "keys.json")


class TestCommands:
    @pytest.fixture
    def run(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        monkeypatch.setenv("OVERFETCH_SERVE_KEYS", str(keys.path))
        return lambda *arguments: CliRunner().invoke(app, ["keys", *arguments])

    def test_a_key_is_made_shown_once_and_revoked(self, run: Callable[..., Result], keys: Keys) -> None:
        made = run("add", "--site", "builddaily", "--scope", "search", "--note", "the page")
        assert made.exit_code == 0, made.output
        secret = made.stdout.strip()
        assert KEY.fullmatch(secret)
        key = keys.find(secret)
        assert (key.sites, key.scopes, key.note) == (("builddaily",), ("search",), "the page")
        listed = run("list").stdout
        assert f"{key.id}  builddaily  search" in listed
        assert secret not in listed + run("list", "--json").stdout + keys.path.read_text()
        assert run("revoke", key.id).exit_code == 0
        with pytest.raises(NotAuthenticated):
            keys.find(secret)

    def test_what_it_prints_is_json_where_asked_for(self, run: Callable[..., Result], keys: Keys) -> None:
        made = json.loads(run("add", "--site", "*", "--requests-per-minute", "9", "--json").stdout)
        assert keys.find(made["key"]).id == made["id"]
        assert made["scopes"] == ["search", "ask", "rerank"]
        shown = {name: value for name, value in made.items() if name != "key"}
        assert json.loads(run("list", "--json").stdout) == {"keys": [shown]}
        assert json.loads(run("revoke", made["id"], "--json").stdout) == {"revoked": shown}

    @pytest.mark.parametrize(
        ("arguments", "told", "code"),
        [
            (["add", "--site", "nosite"], "sites: builddaily", 2),
            (["add", "--site", "*", "--scope", "everything"], "search, ask, rerank, admin", 2),
            (["revoke", "0123"], "known: none", 1),
        ],
    )
    def test_wrong_usage_names_what_is_allowed(
        self, run: Callable[..., Result], keys: Keys, arguments: list[str], told: str, code: int
    ) -> None:
        ended = run(*arguments)
        assert ended.exit_code == code
        assert told in ended.stderr
        assert not keys.path.exists() or not keys.all()

    def test_a_served_folder_is_a_site(self, run: Callable[..., Result], keys: Keys, tmp_path: Path) -> None:
        (tmp_path / "Our Pages").mkdir()
        assert run("add", "--site", str(tmp_path / "Our Pages")).exit_code == 0
        assert [key.sites for key in keys.all().values()] == [("our-pages",)]

    def test_without_a_file_it_says_where_that_is_set(self) -> None:
        ended = CliRunner().invoke(app, ["keys", "list"])
        assert ended.exit_code == 2
        assert "OVERFETCH_SERVE_KEYS" in ended.stderr


def test_many_processes_that_write_at_once_lose_nothing(keys: Keys) -> None:
    code = f"from overfetch_serve.keys import *; k = Keys(Path({str(keys.path)!r}))\n"
    code += "for _ in range(8): k.add(['*'], ['search'])"
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(keys.all()) == 24


@pytest.mark.parametrize(
    "given", ["", "of", "of_", "of__", "xx_{id}_{secret}", "of_{id}_", "of_{id}_{secret}x", "{secret}", "of_0_{secret}"]
)
def test_only_the_whole_key_is_known(keys: Keys, given: str) -> None:
    key, whole = keys.add(["*"], ["search"])
    secret = whole.removeprefix(f"of_{key.id}_")
    with pytest.raises(NotAuthenticated):
        keys.find(given.format(id=key.id, secret=secret))


def test_a_file_changed_within_a_tick_of_the_clock_is_read_again(keys: Keys) -> None:
    """Of the same size, under the same number, with the same time."""
    key, secret = keys.add(["*"], ["search"])
    assert keys.find(secret) == key
    before = keys.path.stat()
    keys.path.write_text(keys.path.read_text().replace(key.digest, "0" * 64))
    os.utime(keys.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert keys.path.stat().st_size == before.st_size
    with pytest.raises(NotAuthenticated):
        keys.find(secret)


def test_a_link_stays_a_link_and_its_mode_stays(keys: Keys, tmp_path: Path) -> None:
    keys.add(["*"], ["search"])
    keys.path.chmod(0o640)
    link = Keys(tmp_path / "link.json")
    link.path.symlink_to(keys.path)
    _, secret = link.add(["*"], ["search"])
    assert link.path.is_symlink()
    assert keys.find(secret)
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".keys.json.")] == [".keys.json.lock"]


class TestAFileThatIsWrong:
    """Nobody is let in by it, and nobody learns more than that."""

    @pytest.mark.parametrize("content", ["", "[", "{}", '[{"id": "secret-id"}]', "\0"])
    def test_damaged(
        self, unwarmed: Callable[..., AbstractContextManager[TestClient]], keys: Keys, content: str
    ) -> None:
        _, secret = keys.add(["*"], ["search"])
        with unwarmed(keys=keys.path, headers={"X-API-Key": secret}) as client:
            whole = keys.path.read_text()
            keys.path.write_text(content)
            refused = client.get("/v1/sites")
            assert (refused.status_code, refused.json()["type"]) == (503, "KeysUnreadable")
            assert refused.headers["Retry-After"] == "1"
            assert keys.path.name not in refused.text
            assert "secret-id" not in refused.text
            keys.path.write_text(whole)
            assert client.get("/v1/sites").status_code == 200

    def test_writable_by_anybody(self, keys: Keys) -> None:
        _, secret = keys.add(["*"], ["search"])
        keys.path.chmod(0o666)
        with pytest.raises(KeysUnreadable):
            keys.find(secret)
        with pytest.raises(SettingsError, match="chmod o-w"):
            keys.all()

    def test_made_writable_by_anybody_after_it_was_read(self, keys: Keys) -> None:
        _, secret = keys.add(["*"], ["search"])
        before = keys.path.stat()
        settled = before.st_mtime_ns - 2 * SETTLED_NS
        os.utime(keys.path, ns=(settled, settled))
        keys.find(secret)
        keys.path.chmod(0o666)
        with pytest.raises(KeysUnreadable):
            keys.find(secret)

    def test_gone(self, keys: Keys, caplog: pytest.LogCaptureFixture) -> None:
        _, secret = keys.add(["*"], ["search"])
        keys.path.unlink()
        with pytest.raises(KeysUnreadable):
            keys.find(secret)
        assert f"there is no file of keys {keys.path}: make one by `overfetch keys add`" in caplog.text
        assert keys.all() == {}, "for who makes the first"

    def test_it_is_said_what_is_wrong(self, keys: Keys) -> None:
        for content, told in (("[", "keys: Invalid JSON"), ('[{"id": "a"}]', "keys: 0.digest: Field required")):
            keys.path.write_text(content)
            with pytest.raises(SettingsError, match=told):
                keys.all()

    def test_the_service_is_not_ready(
        self, opened: Callable[..., FastAPI], keys: Keys, caplog: pytest.LogCaptureFixture, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr("overfetch_serve.readiness.SECONDS", 0)
        with TestClient(opened(keys=keys.path)) as client:
            assert "(keys) is not ready: SettingsError: there is no file of keys" in caplog.text
            assert client.get("/readyz").json() == {"status": "not ready", "reason": "1 of 4 parts"}
            assert caplog.text.count("is not ready") == 1, "it is logged when it changes"
            keys.add(["*"], ["search"])
            assert client.get("/readyz").json() == {"status": "ready"}
            keys.path.write_text("[")
            assert client.get("/readyz").status_code == 503
            assert caplog.text.count("is not ready") == 2

"""What a copy of the last generation costs."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from overfetch.stores import copying


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "segment").mkdir(parents=True)
    with (source / "segment" / "vectors").open("wb") as file:
        file.write(b"begins")
        file.truncate(50_000_000)
    (source / "config.json").write_text("{}", encoding="utf-8")
    return source


def test_a_plain_copy_leaves_holes_out(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(copying, "reflink", refuse)
    copied = copying.copy_folder(folder, tmp_path / "target")
    assert not copied.reflinked
    assert copied.bytes == copying.size_of(tmp_path / "target") < 1_000_000
    for path in ("segment/vectors", "config.json"):
        assert (tmp_path / "target" / path).read_bytes() == (folder / path).read_bytes()


def test_a_reflink_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "reflink", shutil.copyfile)
    assert copying.copy_folder(folder, tmp_path / "target").reflinked
    assert (tmp_path / "target" / "config.json").read_text(encoding="utf-8") == "{}"


def test_this_file_system_does_the_one_or_the_other(folder: Path, tmp_path: Path) -> None:
    copying.copy_folder(folder, tmp_path / "target")
    copying.make_durable(tmp_path / "target")
    assert (tmp_path / "target" / "segment" / "vectors").stat().st_size == 50_000_000


def test_a_size_is_told_while_files_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that opens a generation replaces and removes small files of it."""
    (tmp_path / "stays").write_bytes(b"x" * 8192)
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda folder: [*walk(folder), (str(tmp_path / "gone"), [], [".atomicwrite"])])
    assert copying.size_of(tmp_path) == 8192


def test_a_size_is_told_where_no_blocks_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    (tmp_path / "file").write_bytes(b"x" * 8192)
    monkeypatch.setattr(os, "stat", lambda path: SimpleNamespace(st_size=8192))
    assert copying.size_of(tmp_path) == 8192

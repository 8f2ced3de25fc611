"""`overfetch show`, `export` and `delete`: what a collection holds, for people and for programs."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from overfetch.cli.main import app
from overfetch.contents import PAGE, find_passages, unknown_documents
from overfetch.errors import CollectionMissing, SettingsError
from overfetch.indexing import encode
from overfetch.provenance import Provenance
from overfetch.testing import FakeEmbedder, FakeStore
from overfetch.types import Chunk, Document, Passage


@pytest.fixture
def indexed(tmp_path: Path) -> Path:
    source = tmp_path / "canon.jsonl"
    records = [{"_id": name, "title": name, "kind": "card", "text": f"The {name} falls."} for name in ("tower", "star")]
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert run("index", "sagedaily/canon", "--source", str(source)).exit_code == 0
    return source


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def document(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_document_and_a_passage_are_shown(indexed: Path) -> None:
    (passage,) = document("show", "sagedaily/canon", "tower")
    assert (passage["document_id"], passage["text"], passage["position"]) == ("tower", "The tower falls.", 0)
    assert document("show", "sagedaily/canon", passage["id"]) == [passage]
    shown = run("show", "sagedaily/canon", "tower").stdout
    assert "The tower falls." in shown
    assert passage["id"] in shown
    missing = run("show", "sagedaily/canon", "moon")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert missing.stderr == "error: sagedaily/canon has neither a passage nor a document 'moon'\n"


def test_all_is_exported_a_passage_a_line(indexed: Path) -> None:
    lines = [json.loads(line) for line in run("export", "sagedaily/canon").stdout.splitlines()]
    assert {line["document_id"] for line in lines} == {"tower", "star"}
    assert document("export", "sagedaily/canon") == lines


def test_deleting_asks_first(indexed: Path) -> None:
    refused = run("delete", "sagedaily/canon", stdin="n\n")
    assert refused.exit_code == 1
    assert "Delete sagedaily/canon (1 generations, 2 passages)?" in refused.stderr
    assert document("status", "sagedaily/canon")[0]["generations"]
    assert run("delete", "sagedaily/canon").exit_code == 1, "nobody to ask"
    deleted = document("delete", "sagedaily/canon", "--yes")
    assert [generation["state"] for generation in deleted["deleted"]] == ["live"]
    assert document("status", "sagedaily/canon")[0]["generations"] == []
    again = run("delete", "sagedaily/canon", "--yes")
    assert (again.exit_code, again.stderr) == (1, "error: nothing of sagedaily/canon is stored\n")


@pytest.mark.parametrize("command", ["show", "export", "delete"])
def test_they_need_a_collection_that_is_there(command: str) -> None:
    rest = ["x"] if command == "show" else []
    assert run(command, "sagedaily", *rest).exit_code == 2
    assert run(command, "sagedaily/canon", *rest).exit_code == 1


def test_a_long_document_is_shown_whole_and_in_order() -> None:
    store, embedder = FakeStore(), FakeEmbedder()
    long = Document(id="long", title="Long", text="text")
    passages = [Passage.of(long, place, Chunk(breadcrumb="", text=str(place))) for place in range(PAGE * 2)]
    with store.write("a/b", Provenance.of(embedder.spec, "c/1", "s"), {}) as writer:
        writer.upsert(encode(passages, embedder))
    assert [passage.position for passage in find_passages(store, "a/b", "long")] == list(range(PAGE * 2))
    assert unknown_documents(store, "a/b", ["x", "long", "y"]) == ["x", "y"]
    with pytest.raises(SettingsError):
        find_passages(store, "a/b", "x")
    with pytest.raises(CollectionMissing):
        find_passages(store, "a/c", "x")

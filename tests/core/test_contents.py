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


class TestAsOf:
    @pytest.fixture
    def dated(self, tmp_path: Path) -> None:
        """An event whose outcome became known later, and one that became known later as a whole."""
        event = {"date": "2024-01-01", "type": "unlock", "entity": "E", "text": "It unlocks."}
        records = [
            {**event, "_id": "early", "title": "Early", "outcome": "It fell.", "outcome_date": "2024-03-01"},
            {**event, "_id": "late", "title": "Late", "known_at": "2024-06-01"},
        ]
        source = tmp_path / "events.jsonl"
        source.write_text("".join(json.dumps(record) + "\n" for record in records))
        assert run("index", "paiddaily/catalysts", "--source", str(source)).exit_code == 0

    @pytest.mark.usefixtures("dated")
    def test_what_became_known_later_is_neither_shown_nor_exported(self) -> None:
        everything = document("export", "paiddaily/catalysts")
        assert [p for p in everything if "It fell." in p["text"]]
        known = document("export", "paiddaily/catalysts", "--as-of", "2024-02-01")
        assert {p["document_id"] for p in known} == {"early"}
        assert not [p for p in known if "It fell." in p["text"]]
        lines = run("export", "paiddaily/catalysts", "--as-of", "2024-02-01").stdout.splitlines()
        assert [json.loads(line) for line in lines] == known
        shown = document("show", "paiddaily/catalysts", "early", "--as-of", "2024-02-01")
        assert {p["id"] for p in shown} == {p["id"] for p in known}
        outcome = next(p["id"] for p in everything if "It fell." in p["text"])
        for hidden in ("late", outcome):
            refused = run("show", "paiddaily/catalysts", hidden, "--as-of", "2024-02-01")
            unknown = run("show", "paiddaily/catalysts", "none", "--as-of", "2024-02-01")
            assert refused.stderr == unknown.stderr.replace("'none'", repr(hidden))
            assert refused.exit_code == unknown.exit_code == 2

    @pytest.mark.parametrize("command", [("show", "sagedaily/canon", "tower"), ("export", "sagedaily/canon")])
    @pytest.mark.usefixtures("indexed")
    def test_a_bound_that_is_not_kept_is_refused(self, command: tuple[str, ...]) -> None:
        refused = run(*command, "--as-of", "2024-02-01")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "as_of ('2024-02-01') cannot be honoured" in refused.stderr


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

"""`overfetch eval --save`: what was ranked, as others' tools read it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures
import pytest
from typer.testing import CliRunner, Result

from overfetch.cli.main import app
from overfetch.evaluation.metrics import MEASURES

DOCUMENTS = {
    "tower": "The tower falls in a storm at night.",
    "the star": "The star rises and brings hope again.",
    "moon\u00a0night": "The moon hides what the night knows.",
    "sun": "The sun shows everything at noon.",
}
QUERIES = {"q1": "tower storm", "q 2": "the night", "q3": "star hope"}
QRELS = [
    ("q1", "tower", 2),
    ("q1", "moon\u00a0night", 1),
    ("q 2", "moon\u00a0night", 1),
    ("q3", "sun", 0),
    ("q3", "tower", 1),
]


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "cards"
    (root / "qrels").mkdir(parents=True)
    write_lines(root / "corpus.jsonl", [{"_id": i, "title": "", "text": text} for i, text in DOCUMENTS.items()])
    write_lines(root / "queries.jsonl", [{"_id": i, "text": t, "kind": f"of {i}"} for i, t in QUERIES.items()])
    (root / "qrels/test.tsv").write_text("".join(f"{q}\t{d}\t{grade}\n" for q, d, grade in QRELS))
    return root


@pytest.fixture
def run(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("OVERFETCH_CACHE", str(session_cache))
    return lambda *arguments: CliRunner().invoke(app, ["eval", *map(str, arguments)])


def means_of_others(kept: Path, stage: str) -> dict[str, float]:
    qrels = ir_measures.read_trec_qrels(str(kept / "qrels.trec"))
    ranked = ir_measures.read_trec_run(str(kept / f"{stage}.trec"))
    found = ir_measures.calc_aggregate(MEASURES.values(), qrels, ranked)
    return {name: found[measure] for name, measure in MEASURES.items()}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_other_tools_find_the_same_means(run: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    """Ids with spaces included."""
    found = run(folder, "--save", tmp_path / "kept", "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert told["first_stage"]["ndcg@10"] < 1
    for stage in ("first_stage", "reranked"):
        assert means_of_others(tmp_path / "kept", stage) == pytest.approx(told[stage])


def test_every_query_has_its_figures(run: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    told = json.loads(run(folder, "--save", tmp_path / "kept", "--json").stdout)
    queries = rows(tmp_path / "kept/queries.jsonl")
    assert {row["id"]: (row["text"], row["kind"]) for row in queries} == {i: (t, f"of {i}") for i, t in QUERIES.items()}
    for stage in ("first_stage", "reranked"):
        assert {*queries[0][stage]["documents"]} == {*DOCUMENTS}
        for metric, mean in told[stage].items():
            assert sum(row[stage]["metrics"][metric] for row in queries) / len(queries) == pytest.approx(mean)


def test_a_run_says_by_what_it_can_be_repeated(run: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    told = json.loads(run(folder, "--no-rerank", "--save", tmp_path / "kept", "--json").stdout)
    names = ("queries.jsonl", "qrels/test.tsv")
    assert told["judgements"] == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    assert (told["resamples"], told["seed"], told["top_k"]) == (10_000, 7, 20)
    kept = json.loads((tmp_path / "kept/evaluation.json").read_text())
    assert kept["command"] == {
        "target": str(folder), "split": "test", "rerank": False, "literal": False, "answers": False, "explain": False,
        "fit_refusals": False, "profile": "mini",
    }  # fmt: skip
    assert {name: value for name, value in kept.items() if name != "command"} == told
    assert not (tmp_path / "kept/reranked.trec").exists()


def test_only_the_same_command_writes_over_a_run(run: Callable[..., Result], folder: Path, tmp_path: Path) -> None:
    def saved(*options: str) -> Result:
        return run(folder, "--no-rerank", "--save", tmp_path / "kept", *options)

    assert saved().exit_code == 0
    before = (tmp_path / "kept/first_stage.trec").read_bytes()
    (tmp_path / "kept/first_stage.trec").write_text("")
    assert saved("--json").exit_code == 0
    assert (tmp_path / "kept/first_stage.trec").read_bytes() == before
    other = saved("--limit-queries", "1")
    assert other.exit_code == 2
    assert "queries.jsonl, evaluation.json, which this command did not write: give --save a folder" in other.stderr
    assert (tmp_path / "kept/first_stage.trec").read_bytes() == before


def test_the_judged_queries_themselves_are_not_written_over(run: Callable[..., Result], folder: Path) -> None:
    before = (folder / "queries.jsonl").read_bytes()
    assert run(folder, "--no-rerank", "--save", folder).exit_code == 2
    assert (folder / "queries.jsonl").read_bytes() == before

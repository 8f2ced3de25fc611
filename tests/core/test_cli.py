"""The command line: exit codes, one line on standard error, one JSON document on standard output."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, EntryPoints
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from overfetch import backends, load_site
from overfetch.cli.main import app
from overfetch.errors import ModelError
from overfetch.models import ModelSpec, read_models
from overfetch.protocols import Vectors
from overfetch.testing import FakeEmbedder, FakeReranker

RETRIEVAL_KEYS = [
    "query",
    "collection",
    "understood",
    "hits",
    "rerank_status",
    "rerank_reason",
    "truncated_tokens",
    "timings_ms",
    "provenance",
]
HIT_KEYS = [
    "rank",
    "passage_id",
    "document_id",
    "title",
    "breadcrumb",
    "text",
    "metadata",
    "first_stage_rank",
    "first_stage_score",
    "rerank_score",
]
ANSWER_KEYS = [*RETRIEVAL_KEYS, "answer", "found", "mode", "reason", "citations", "refused", "coverage"]
REPORT_KEYS = [
    "collection",
    "documents",
    "added",
    "changed",
    "removed",
    "kept",
    "moved",
    "embedded",
    "truncated_tokens",
    "dry_run",
    "copied",
    "recall",
    "skipped",
]
RECORDS = [
    {"_id": "tower", "title": "The Tower", "kind": "card", "text": "The tower falls in a storm at night."},
    {"_id": "star", "title": "The Star", "kind": "card", "text": "The star rises and brings hope again."},
    {"_id": "saturn", "title": "Saturn", "kind": "planet", "text": "Saturn asks for patience and slow work."},
]


class WideEmbedder(FakeEmbedder):
    """A fake as wide as the model that it stands for."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        narrow = super().embed_queries(texts)
        assert self.spec.dimension is not None
        return np.pad(narrow, ((0, 0), (0, self.spec.dimension - narrow.shape[1])))


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models that need no loading; the list names those that were loaded."""
    loaded: list[str] = []

    def load_embedder(spec: ModelSpec, *_: object) -> WideEmbedder:
        loaded.append(spec.name)
        return WideEmbedder(spec)

    def load_reranker(spec: ModelSpec, *_: object) -> FakeReranker:
        loaded.append(spec.name)
        return FakeReranker()

    monkeypatch.setattr(backends, "load_embedder", load_embedder)
    monkeypatch.setattr(backends, "load_reranker", load_reranker)
    return loaded


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "canon.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


@pytest.fixture
def indexed(fakes: list[str], source: Path) -> Path:
    """sagedaily/canon indexed from `source`."""
    succeed("index", "sagedaily/canon", "--source", str(source))
    return source


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def succeed(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(*arguments: str) -> Any:
    """What standard output holds, which must be one JSON document and nothing else."""
    return json.loads(succeed(*arguments, "--json"))


def fail(code: int, *arguments: str) -> str:
    """The error line. Nothing may be printed as a result."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert result.stderr.endswith(lines[0] + "\n")
    assert "Traceback" not in result.stderr
    return lines[0].removeprefix("error: ")


def test_search_prints_hits_in_order(indexed: Path) -> None:
    printed = succeed("search", "sagedaily/canon", "tower storm")
    assert printed.startswith("1. The Tower\n   tower · rerank +1.9")
    assert "sagedaily/canon · rerank: full · embed " in printed


def test_search_json_is_one_document_with_these_keys(indexed: Path) -> None:
    found = document("search", "sagedaily", "tower storm", "--top-n", "2")
    assert list(found) == RETRIEVAL_KEYS
    assert [list(hit) for hit in found["hits"]] == [HIT_KEYS] * 2
    assert list(found["timings_ms"]) == ["embed", "search", "rerank", "total"]
    assert found["query"] == "tower storm"
    assert found["collection"] == "sagedaily/canon"
    assert (found["rerank_status"], found["rerank_reason"]) == ("full", None)
    assert found["hits"][0]["document_id"] == "tower"
    assert found["hits"][0]["metadata"]["kind"] == "card"
    assert found["provenance"]["embedder"] == read_models()[0]["all-minilm-l6-v2"].identity


def test_no_rerank_reaches_the_pipeline_and_loads_no_reranker(indexed: Path, fakes: list[str]) -> None:
    found = document("search", "sagedaily", "tower", "--no-rerank")
    assert found["rerank_status"] == "off"
    assert {hit["rerank_score"] for hit in found["hits"]} == {None}
    assert "overfetch-mini" not in fakes
    assert "not reranked" in succeed("search", "sagedaily", "tower", "--no-rerank")


def test_options_reach_the_search(indexed: Path) -> None:
    cards = document("search", "sagedaily", "tower", "--where", "kind=card")
    assert {hit["document_id"] for hit in cards["hits"]} == {"tower", "star"}
    nothing = document("search", "sagedaily", "tower", "--where", "kind=card", "--where", "subject=Saturn")
    assert nothing["hits"] == []
    assert len(document("search", "sagedaily", "tower", "--top-k", "1", "--top-n", "1")["hits"]) == 1
    assert document("search", "sagedaily", "tower", "--first-stage", "dense")["rerank_status"] == "full"


def test_nothing_found_is_no_failure(indexed: Path) -> None:
    assert "Nothing found." in succeed("search", "sagedaily", "tower", "--where", "kind=rune")


def test_a_failing_reranker_is_told_but_does_not_fail(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "load_reranker", lambda *_: FakeReranker(failure=ModelError("no weights")))
    found = document("search", "sagedaily", "tower")
    assert (found["rerank_status"], found["rerank_reason"]) == ("failed", "ModelError: no weights")


def test_texts_with_markup_are_printed_as_they_are(fakes: list[str], tmp_path: Path) -> None:
    text = "[bold]not markup[/bold] and [/] stray"
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"_id": "[red]", "title": "[x]", "text": text}))
    succeed("index", "sagedaily", "--source", str(path))
    printed = succeed("search", "sagedaily", "markup")
    assert text in printed
    assert "[red]" in printed


def test_ask_quotes_with_citations(indexed: Path) -> None:
    answer = document("ask", "sagedaily", "why does the tower fall")
    assert list(answer) == ANSWER_KEYS
    assert answer["mode"] == "extractive"
    assert "OVERFETCH_LM" in answer["reason"]
    assert answer["citations"]
    for citation in answer["citations"]:
        assert list(citation) == ["passage_id", "document_id", "quote"]
        assert citation["quote"] in {record["text"] for record in RECORDS}
    assert "quoted from the sources, not written" in succeed("ask", "sagedaily", "why does the tower fall")


def test_ask_in_parts_keeps_each_retrieval(indexed: Path) -> None:
    answer = document("ask", "sagedaily", "what now", "--part", "The Tower", "--part", "The Star")
    assert list(answer) == [*RETRIEVAL_KEYS, "parts", *ANSWER_KEYS[len(RETRIEVAL_KEYS) :]]
    assert answer["query"] == "what now"
    assert [part["query"] for part in answer["parts"]] == ["The Tower", "The Star"]
    assert answer["hits"] == [hit for part in answer["parts"] for hit in part["hits"]]


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Questions on the records, and as many that none answers."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    said = [{"_id": f"a{n}", "text": f"{RECORDS[n % 3]['text']} {n}", "split": "dev"} for n in range(20)]
    none = [{"_id": f"u{n}", "text": f"price of {n} apples", "split": "dev", "answerable": False} for n in range(20)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in [*said, *none]))
    rows = [f"a{n}\t{RECORDS[n % 3]['_id']}\t2" for n in range(20)]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return folder


def test_refusals_are_fitted_kept_and_used_until_switched_off(
    indexed: Path, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = ("eval", "sagedaily/canon", "--queries", str(judged), "--split", "dev", "--fit-refusals")
    printed = succeed(*fit)
    assert "20 answerable, 20 unanswerable questions" in printed
    assert "0 of 20, 0.0% [0.0%, 16.1%]" in printed
    assert "the thresholds were chosen on these questions" in printed
    told = document(*fit)
    assert list(told)[3:] == ["first_stage", "curve", "held_out", "pays", "unread", "rule"]
    share = {"count": 0, "of": 20, "share": 0, "low": 0, "high": pytest.approx(0.161, abs=0.001)}
    assert told["first_stage"] == {"wrongly": share, "refused": share, "threshold": 0}
    refused = document("ask", "sagedaily", "price of 99 pears")
    assert (refused["found"], refused["citations"]) == (False, [])
    assert "fitted on 40 judged questions" in refused["reason"]
    assert "fitted on 40 judged questions" in succeed("ask", "sagedaily", "price of 99 pears")
    assert document("ask", "sagedaily", RECORDS[0]["text"])["found"]
    monkeypatch.setenv("OVERFETCH_REFUSE", "false")
    assert document("ask", "sagedaily", "price of 99 pears")["found"]


def test_a_rule_that_refuses_nothing_takes_no_others_place(
    indexed: Path, judged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overfetch.evaluation import refusals

    fit = ("eval", "sagedaily/canon", "--queries", str(judged), "--split", "dev", "--fit-refusals")
    succeed(*fit)
    monkeypatch.setattr(refusals, "point", lambda asked, found, wrongly: refusals.shares(asked, found, 0.0))
    assert "not kept: it refuses nothing that the first stage does not" in succeed(*fit)
    assert document(*fit)["pays"] is False
    assert not document("ask", "sagedaily", "price of 99 pears")["found"], "the rule of before serves"


def test_refusals_are_fitted_on_the_sample_where_nothing_is_indexed(fakes: list[str], judged: Path) -> None:
    done = run("eval", "sagedaily/canon", "--queries", str(judged), "--split", "dev", "--fit-refusals")
    assert done.exit_code == 0, done.output
    assert "sagedaily/canon is not indexed yet: indexing its sample corpus" in " ".join(done.stderr.split())
    assert "20 answerable, 20 unanswerable questions" in done.stdout


def test_refusals_are_fitted_on_questions_of_ones_own(fakes: list[str]) -> None:
    assert "needs --queries" in fail(2, "eval", "sagedaily/canon", "--fit-refusals")


def test_a_reading_names_the_card_of_each_quote(indexed: Path) -> None:
    arguments = ("ask", "sagedaily", "what now", "--part", "The Tower", "--part", "The Star")
    answer = document(*arguments)
    lines = [line for line in succeed(*arguments).splitlines() if re.match(r"\[\d+\] ", line)]
    assert len(lines) == len(answer["citations"]) > 0
    for line, citation in zip(lines, answer["citations"], strict=True):
        found = re.match(r"\[\d+\] \((.+?)\) ", line)
        assert found, line
        holding = {
            part["query"].removesuffix(": what now")
            for part in answer["parts"]
            if citation["passage_id"] in [hit["passage_id"] for hit in part["hits"]]
        }
        assert set(found[1].split(" / ")) == holding


def test_the_first_search_indexes_the_sample(fakes: list[str]) -> None:
    result = run("search", "sagedaily", "the tower", "--json")
    told = f"sagedaily/canon is not indexed yet: indexing its sample corpus into {os.environ['OVERFETCH_QDRANT']}"
    assert told in " ".join(result.stderr.split())
    assert len(json.loads(result.stdout)["hits"]) == 4
    assert run("search", "sagedaily", "the tower", "--json").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere", "q"], "unknown site 'nowhere'; installed sites: builddaily, paiddaily, sagedaily"),
        (["sagedaily/cards", "q"], "site 'sagedaily' has no collection 'cards'; its collections: canon"),
        (["sagedaily/", "q"], "site 'sagedaily' has no collection ''"),
        (["", "q"], "unknown site ''"),
        (["/", "q"], "'/' is a path and no site: index it (overfetch index SITE/COLLECTION --source /), or serve it"),
        (
            ["sagedaily", "q", "--profile", "huge"],
            "unknown profile 'huge'; known profiles: mini, mini-fast, reader, bge, bge-large, m3",
        ),
        (["sagedaily", "q", "--where", "colour=red"], "unknown filter field 'colour'; this collection has: kind, "),
        (["sagedaily", "q", "--where", "kind"], "bad filter 'kind': write FIELD=VALUE"),
        (["sagedaily", "q", "--where", "kind>=card"], "field 'kind' holds keyword values"),
        (["paiddaily/catalysts", "q", "--where", "date>=soon"], "bad date 'soon': write YYYY-MM-DD"),
        (["paiddaily/catalysts", "q", "--as-of", "yesterday"], "bad date 'yesterday': write YYYY-MM-DD"),
        (["paiddaily/catalysts", "q", "--near", "2026-02-30"], "bad date '2026-02-30': write YYYY-MM-DD"),
        (["sagedaily", "q", "--as-of", "2026-01-31"], "collection 'canon' has no such date: as_of"),
        (["sagedaily", ""], "the query is empty (given '')"),
        (["sagedaily", " \n"], "the query is empty (given ' \\n')"),
        (["sagedaily", "q", "--top-n", "21"], "top_n (21) cannot exceed top_k (20)"),
        (["sagedaily", "q", "--top-k", "3"], "top_n (4) cannot exceed top_k (3)"),
        (["sagedaily", "q", "--top-k", "0"], "top_k: Input should be greater than 0 (given 0)"),
        (["sagedaily", "q", "--top-k", "-5"], "top_k: Input should be greater than 0 (given -5)"),
        (["sagedaily", "q", "--top-n", "0"], "top_n: Input should be greater than 0 (given 0)"),
        (["sagedaily", "q", "--first-stage", "sparse"], "first_stage: Input should be 'hybrid', 'dense' or 'bm25'"),
        (["sagedaily", "q", "--deadline-ms", "0"], "deadline_ms: Input should be greater than 0"),
    ],
)
def test_wrong_usage_ends_with_2_before_any_work(arguments: list[str], complaint: str, fakes: list[str]) -> None:
    assert fail(2, "search", *arguments, "--json").startswith(complaint)
    assert fakes == [], "no model was loaded and nothing was indexed for it"


def test_wrong_usage_of_ask(fakes: list[str]) -> None:
    assert fail(2, "ask", "sagedaily", " ").startswith("the question is empty")
    assert fail(2, "ask", "builddaily", "why", "--part", " ").startswith("a part of the question is empty")
    assert fail(2, "ask", "sagedaily", "why", "--top-k", "0").startswith("top_k: ")
    assert fakes == []


@pytest.mark.parametrize(
    "arguments", [["search"], ["search", "sagedaily"], ["search", "sagedaily", "q", "--top-k", "x"]]
)
def test_malformed_commands_end_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Traceback" not in result.stderr


def test_bad_variables_end_with_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_THREADS", "many")
    assert fail(2, "search", "sagedaily", "q").startswith("OVERFETCH_THREADS: ")
    monkeypatch.setenv("OVERFETCH_THREADS", "1")
    monkeypatch.setenv("OVERFETCH_QDRANT", "somewhere")
    assert fail(2, "search", "sagedaily", "q").startswith("OVERFETCH_QDRANT is 'somewhere'; allowed: file:PATH")
    monkeypatch.setenv("OVERFETCH_QDRANT", "file:")  # as file:$UNSET is
    assert fail(2, "search", "sagedaily", "q").startswith("OVERFETCH_QDRANT is 'file:'; allowed: file:PATH")


def test_index_json_has_these_keys(fakes: list[str], source: Path) -> None:
    report = document("index", "sagedaily/canon", "--source", str(source))
    assert list(report) == REPORT_KEYS
    assert report == {
        "collection": "sagedaily/canon",
        "documents": 3,
        "added": 3,
        "changed": 0,
        "removed": 0,
        "kept": 0,
        "moved": 0,
        "embedded": 3,
        "truncated_tokens": 0,
        "dry_run": False,
        "copied": None,
        "recall": None,  # the sample's judged queries say nothing of these cards
        "skipped": [],
    }


def test_a_second_index_embeds_nothing_and_loads_nothing(indexed: Path, fakes: list[str]) -> None:
    fakes.clear()
    report = document("index", "sagedaily/canon", "--source", str(indexed))
    assert (report["kept"], report["embedded"]) == (3, 0)
    assert fakes == []


def test_index_embeds_only_what_changed(indexed: Path) -> None:
    changed = [RECORDS[0], {**RECORDS[1], "text": "The star sets."}, {**RECORDS[2], "_id": "moon"}]
    indexed.write_text("".join(json.dumps(record) + "\n" for record in changed))
    report = document("index", "sagedaily/canon", "--source", str(indexed))
    numbers = {key: report[key] for key in ("added", "changed", "removed", "kept", "moved", "embedded")}
    assert numbers == {"added": 1, "changed": 1, "removed": 1, "kept": 1, "moved": 1, "embedded": 1}
    rebuilt = document("index", "sagedaily/canon", "--source", str(indexed), "--rebuild")
    assert (rebuilt["added"], rebuilt["embedded"]) == (3, 3)


def test_a_dry_run_says_the_same_and_changes_nothing(fakes: list[str], source: Path) -> None:
    report = document("index", "sagedaily/canon", "--source", str(source), "--dry-run")
    assert list(report) == REPORT_KEYS
    assert (report["added"], report["embedded"], report["dry_run"]) == (3, 0, True)
    assert fakes == []
    assert "would embed 3" in succeed("index", "sagedaily", "--source", str(source), "--dry-run")
    assert document("index", "sagedaily/canon", "--source", str(source))["added"] == 3


def test_what_is_broken_can_be_left_out_and_is_named(fakes: list[str], source: Path) -> None:
    with source.open("a") as lines:
        lines.write('{"_id": "broken", "te\\n')
    reason = f"{source}:4: broken JSON: Unterminated string starting at at column 19"
    assert fail(1, "index", "sagedaily/canon", "--source", str(source)) == reason
    report = document("index", "sagedaily/canon", "--source", str(source), "--skip-bad")
    assert (report["documents"], report["skipped"]) == (3, [reason])
    assert f"left out: {reason}" in succeed("index", "sagedaily/canon", "--source", str(source), "--skip-bad")
    assert f"--source {source} --skip-bad" in fail(2, "index", "sagedaily/canon"), "said again where it is needed"


def test_an_empty_name_is_no_source(fakes: list[str]) -> None:
    result = run("index", "sagedaily/canon", "--source", "")
    assert result.exit_code == 2
    assert "the name of a source is empty" in result.stderr
    assert fakes == []


def test_sources_with_the_same_ids_are_told_apart_by_prefixes(fakes: list[str], source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(source.read_text())
    both = ("index", "sagedaily/canon", "--source", str(source), "--source", str(other))
    assert "--id-prefix" in fail(1, *both)
    assert fail(2, *both, "--id-prefix", "b/").startswith("1 id prefixes for 2 sources")
    assert document(*both, "--id-prefix", "", "--id-prefix", "b/")["documents"] == 6
    found = {hit["document_id"] for hit in document("search", "sagedaily/canon", "tower falls")["hits"]}
    assert {"tower", "b/tower"} <= found
    assert f"--source {other} --id-prefix= --id-prefix=b/" in fail(2, "index", "sagedaily/canon")


def test_a_partition_needs_a_server(fakes: list[str], source: Path) -> None:
    options = ("index", "sagedaily/canon", "--source", str(source), "--partition")
    assert fail(2, *options, "2/4").startswith("partition 2/4: in process a collection has one writer")
    assert fail(2, *options, "5/4").startswith("bad partition '5/4': write NUMBER/COUNT")
    assert fakes == []


def test_what_is_beyond_the_embedder_s_limit_names_documents_and_what_to_do(
    fakes: list[str], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = {"The tower": 70_000, "The star": 37_277}
    monkeypatch.setattr(
        WideEmbedder,
        "count_truncated",
        lambda _, texts: sum(number for text in texts for words, number in cut.items() if words in text),
    )
    printed = succeed("index", "sagedaily/canon", "--source", str(source))
    assert "107,277 tokens lie beyond the embedder's limit" in printed
    assert "Most are in tower (70,000), star (37,277). Cut these documents at headings" in printed
    again = run("index", "sagedaily/canon", "--source", str(source), "--rebuild", "--json")
    assert json.loads(again.stdout)["truncated_tokens"] == 107_277
    assert "Most are in tower (70,000), star (37,277)." in again.stderr


def test_a_whole_site_reports_each_collection(fakes: list[str]) -> None:
    reports = document("index", "builddaily", "--dry-run")
    assert [report["collection"] for report in reports] == ["builddaily/resources", "builddaily/chat"]


def test_the_sample_never_replaces_a_real_corpus(indexed: Path) -> None:
    complaint = fail(2, "index", "sagedaily/canon")
    assert f"--source {indexed}" in complaint
    assert fail(2, "index", "sagedaily/canon", "--rebuild") == complaint


def test_a_source_needs_one_collection(fakes: list[str], source: Path) -> None:
    complaint = fail(2, "index", "builddaily", "--source", str(source))
    assert complaint.startswith(
        "--source needs one collection, given 'builddaily'; name one of: builddaily/resources, "
    )


@pytest.mark.parametrize("command", [["index", "sagedaily"], ["index", "sagedaily", "--dry-run", "--json"]])
def test_a_broken_source_ends_with_1(command: list[str], fakes: list[str], tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    assert fail(1, *command, "--source", str(broken)) == f"{broken}: no such file or folder"
    broken.write_text(json.dumps(RECORDS[0]) + '\n{"_id": ')
    assert fail(1, *command, "--source", str(broken)).startswith(f"{broken}:2: broken JSON: ")
    broken.write_text("")
    assert fail(1, *command, "--source", str(broken)).startswith(f"{broken}: no documents found")
    assert fakes == []


def test_another_profile_ends_with_1_and_names_the_repair(indexed: Path) -> None:
    complaint = fail(1, "search", "sagedaily", "tower", "--profile", "bge")
    assert "was made differently (embedder: stored 'overfetch/all-minilm-l6-v2@" in complaint
    assert "overfetch index sagedaily/canon --rebuild" in complaint


def test_a_hub_model_that_is_not_prepared_ends_with_1() -> None:
    complaint = fail(1, "search", "sagedaily", "tower", "--profile", "bge")
    assert "overfetch models prepare nomic-embed-text-v1.5" in complaint


def test_sites_lists_every_collection() -> None:
    found = document("sites")
    assert found == [
        {"site": "builddaily", "title": "Build Daily", "collections": ["resources", "chat"]},
        {"site": "paiddaily", "title": "Paid Daily", "collections": ["tickers", "catalysts"]},
        {"site": "sagedaily", "title": "Sage Daily", "collections": ["canon"]},
    ]
    printed = succeed("sites")
    for line in (f"{site['site']}/{name}  top_k 20, top_n " for site in found for name in site["collections"]):
        assert line in printed


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("", "AttributeError: module 'site_of_code_2' has no attribute 'SITE'"),
    ],
    ids=("site_of_code_0", "site_of_code_1", "site_of_code_2"),
)
def test_a_broken_site_hides_no_other(
    code: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    module = request.node.callspec.id
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    real = importlib.metadata.entry_points(group="overfetch.sites")
    found = EntryPoints([*real, EntryPoint("broken", f"{module}:SITE", "overfetch.sites")])
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: found)
    why = f"site 'broken' cannot be loaded: {error}"
    for options in ([], ["--json"]):
        result = run("sites", *options)
        assert result.exit_code == 1
        assert "sagedaily" in result.stdout
        assert result.stderr == f"error: {why}\n"
    assert fail(2, "search", "broken", "q") == why
    result = run("status")
    assert result.exit_code == 0
    assert "sagedaily/canon" in result.stdout
    assert why in result.stderr


def test_models_list() -> None:
    listed = document("models", "list")
    models, profiles = read_models()
    assert list(listed) == ["models", "profiles"]
    assert [model["name"] for model in listed["models"]] == list(models)
    assert all({"repo", "revision", "licence", "max_tokens", "prepared"} <= set(model) for model in listed["models"])
    assert listed["profiles"]["bge"] == ["nomic-embed-text-v1.5", "bge-reranker-base"]
    printed = succeed("models", "list")
    assert all(name in printed for name in [*models, *profiles])


def test_models_list_tells_what_is_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_CACHE", str(tmp_path))
    for model in document("models", "list")["models"]:
        assert model["prepared"] == (model["package"] is not None and find_spec(model["package"]) is not None)


def test_models_of_packages_need_no_preparing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_CACHE", str(tmp_path / "cache"))
    for command, said in (("prepare", "ready in "), ("verify", "3 files as recorded")):
        printed = succeed("models", command, "mini").splitlines()
        assert [line.partition(": ")[0] for line in printed if said in line] == ["all-minilm-l6-v2", "overfetch-mini"]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("command", ["prepare", "verify"])
def test_an_unknown_model_names_the_known_ones(command: str) -> None:
    complaint = fail(2, "models", command, "gpt")
    assert complaint.startswith("unknown model 'gpt'; known models and profiles: all-minilm-l6-v2, nomic-embed-text")


def test_verify_of_an_unprepared_model_ends_with_1() -> None:
    assert "run `overfetch models prepare bge-reranker-base`" in fail(1, "models", "verify", "bge-reranker-base")


def test_prepare_offline_ends_with_1_and_names_the_alternative() -> None:
    complaint = fail(1, "models", "prepare", "bge-reranker-base")
    assert "BAAI/bge-reranker-base at 2cfc18c9415c912f9d8155881c133215df768a70" in complaint
    assert "offline alternative: --profile mini" in complaint


def test_help_names_every_profile_and_setting() -> None:
    help_text = " ".join(succeed("search", "--help").split())
    assert all(name in help_text for name in read_models()[1])
    assert all(option in help_text for option in ("--top-k", "--top-n", "--where", "--as-of", "--no-rerank", "--json"))


def program(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "overfetch"), *arguments]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=240
    )


def test_the_program_really_embeds_and_finds(source: Path) -> None:
    """The installed program with the real embedding model, in processes of their own."""
    first = program("index", "sagedaily/canon", "--source", str(source), "--json")
    assert (first.returncode, json.loads(first.stdout)["embedded"]) == (0, 3)
    second = program("index", "sagedaily/canon", "--source", str(source), "--json")
    assert json.loads(second.stdout)["embedded"] == 0
    search = program("search", "sagedaily", "a building collapses in bad weather", "--no-rerank", "--json")
    assert search.returncode == 0
    assert json.loads(search.stdout)["hits"][0]["document_id"] == "tower"
    assert search.stderr == ""


def test_the_program_fails_in_one_line() -> None:
    failed = program("search", "nowhere", "q", "--json")
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr == "error: unknown site 'nowhere'; installed sites: builddaily, paiddaily, sagedaily\n"


def test_the_program_does_not_wait_for_a_hub_out_of_reach(tmp_path: Path) -> None:
    closed = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9", "OVERFETCH_CACHE": str(tmp_path)}
    failed = program("models", "prepare", "bge-reranker-base", **closed)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.splitlines()[-1].startswith(
        "error: cannot fetch bge-reranker-base (BAAI/bge-reranker-base at "
    )
    assert "Traceback" not in failed.stderr


class TestGenerations:
    def test_status_of_what_is_not_indexed(self, fakes: list[str]) -> None:
        printed = succeed("status", "sagedaily")
        assert printed == "sagedaily/canon  not indexed yet: overfetch index sagedaily/canon\n"
        assert [line["collection"] for line in document("status")] == [
            *("builddaily/resources", "builddaily/chat", "paiddaily/tickers", "paiddaily/catalysts", "sagedaily/canon")
        ]
        assert fakes == []

    def test_status_shows_every_generation(self, indexed: Path) -> None:
        succeed("index", "sagedaily/canon", "--source", str(indexed), "--rebuild")
        (found,) = document("status", "sagedaily/canon")
        live, previous = found["generations"]
        assert (live["name"], live["state"], live["passages"]) == ("000002", "live", 3)
        assert (previous["name"], previous["state"]) == ("000001", "previous")
        assert 0 < live["bytes"] < 20_000_000
        assert live["age_s"] >= 0
        assert live["provenance"]["chunker"] == load_site("sagedaily").collection("canon").chunker
        assert live["provenance"]["corpus_hash"] == previous["provenance"]["corpus_hash"]
        printed = succeed("status", "sagedaily/canon")
        assert "  000002  live        3 passages · " in printed
        assert f"    source           {indexed}" in printed

    def test_rollback_says_what_is_live_now_and_a_second_one_goes_back(self, indexed: Path) -> None:
        indexed.write_text("".join(json.dumps(record) + "\n" for record in RECORDS[:2]))
        report = document("index", "sagedaily/canon", "--source", str(indexed))
        assert report["copied"].keys() == {"seconds", "bytes", "reflinked"}
        assert "generation 000001 is live now" in succeed("rollback", "sagedaily/canon")
        assert document("search", "sagedaily/canon", "saturn")["hits"][0]["document_id"] == "saturn"
        assert document("rollback", "sagedaily/canon")["live"]["name"] == "000002"
        found = document("search", "sagedaily/canon", "saturn")["hits"]
        assert {hit["document_id"] for hit in found} == {"tower", "star"}

    def test_there_is_nothing_to_go_back_to(self, indexed: Path) -> None:
        assert "no previous generation" in fail(1, "rollback", "sagedaily/canon")
        assert "SITE/COLLECTION" in fail(2, "rollback", "sagedaily")

    def test_prune_removes_what_is_not_live(self, indexed: Path) -> None:
        succeed("index", "sagedaily/canon", "--source", str(indexed), "--rebuild")
        assert document("prune", "sagedaily", "--keep", "2") == [{"collection": "sagedaily/canon", "removed": []}]
        assert "removed 000001 (previous)" in succeed("prune", "sagedaily/canon")
        assert len(document("status", "sagedaily/canon")[0]["generations"]) == 1
        assert run("prune", "sagedaily", "--keep", "0").exit_code == 2

    def test_what_finds_less_is_refused_with_its_own_exit_code(self, fakes: list[str], tmp_path: Path) -> None:
        records = load_site("sagedaily").collection("canon").sample.read_text(encoding="utf-8").splitlines()
        source = tmp_path / "whole.jsonl"
        source.write_text("\n".join(records), encoding="utf-8")
        succeed("index", "sagedaily/canon", "--source", str(source))
        source.write_text("\n".join(records[::2]), encoding="utf-8")
        told = fail(3, "index", "sagedaily/canon", "--source", str(source))
        assert "--accept-loss" in told
        assert "overfetch prune sagedaily/canon --keep 2" in told
        states = [g["state"] for g in document("status", "sagedaily/canon")[0]["generations"]]
        assert states == ["live", "unfinished"]
        report = document("index", "sagedaily/canon", "--source", str(source), "--accept-loss")
        assert report["recall"]["after"] < report["recall"]["before"]
        assert report["embedded"] == 0


def test_what_was_read_into_a_question_is_shown(indexed: Path) -> None:
    read = document("search", "sagedaily", "The Tower, reversed")["understood"]
    assert set(read) == {"text", "conditions", "named", "notes", "given_up", "missing"}
    assert read["conditions"] == ["orientation=reversed|any"]
    assert document("search", "sagedaily", "The Tower, reversed", "--literal")["understood"] is None
    explained = succeed("search", "sagedaily", "The Tower, reversed", "--explain")
    assert "where: orientation=reversed|any" in explained
    assert "--literal takes it as written" in explained
    assert "read as it is written" in succeed("search", "sagedaily", "a storm at night", "--explain")

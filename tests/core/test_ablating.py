"""Ablations: one choice changed at a time, on a small collection with the models that ship."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from small_site import small_site
from typer.testing import CliRunner

from overfetch.chunking import chunk_by_headings
from overfetch.cli.main import app
from overfetch.corpus import FieldMap
from overfetch.environment import read_environment
from overfetch.evaluation.ablating import GROUPS, Ablation, Group, ablate
from overfetch.evaluation.evaluating import evaluate
from overfetch.filters import AnyOf
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, JudgedQuery
from overfetch.settings import RetrievalSettings
from overfetch.sites import Site
from overfetch.types import Chunk, Document
from overfetch.understanding import Focus, Understood
from overfetch.workspace import Workspace

TEXTS = {
    "tower": "The tower falls in a storm at night, and whoever lived in it must begin again.",
    "star": "The star rises over calm water. After the storm it brings hope to those who wait.",
    "moon": "The moon hides what the night knows. Trust no path that you see only in its light.",
    "sun": "The sun shows everything at noon, children and horses, and nothing is to be feared.",
    "hermit": "The hermit carries a lamp up the mountain. He looks for what cannot be found in company.",
    "wheel": "The wheel turns: who is above will be below. Fortune is nobody's own.",
}
JUDGED = JudgedQueries(
    queries=tuple(
        JudgedQuery(id=name, text=text)
        for name, text in {"tower": "a building that collapses", "star": "hope after hardship", "wheel": "luck"}.items()
    ),
    qrels={name: {name: 1} for name in ("tower", "star", "wheel")},
)


def cut(document: Document, tokens: int = 12) -> Iterator[Chunk]:
    return chunk_by_headings(document, tokens)


def understand(question: str, _day: object) -> Understood:
    fortune = Focus(conditions=(AnyOf(field="name", values=("wheel",)),), leads=1)
    return Understood(text=question, focuses=(fortune,) if question == "luck" else ())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    records = [{"_id": name, "name": name, "title": f"The {name}", "text": text} for name, text in TEXTS.items()]
    site = small_site(
        tmp_path_factory.mktemp("corpus"),
        records,
        collection="cards",
        chunk=cut,
        chunker="cards/1",
        fields=FieldMap(metadata=("name",)),
        filters={"name": "keyword"},
        understand=understand,
        retrieval=RetrievalSettings(top_k=10, top_n=3),
    )
    return site.model_copy(update={"name": "ablated"})


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(read_environment().model_copy(update={"qdrant": f"file:{tmp_path}"})) as opened:
        yield opened


@contextmanager
def unwatched(_: str) -> Iterator[Progress]:
    yield lambda done, total: None


def run(workspace: Workspace, site: Site, *groups: Group, timed: int = 0) -> Ablation:
    engine = workspace.site(site)
    engine.index("cards")
    return ablate(
        workspace, engine, "cards", JUDGED, profile="mini", groups=groups or GROUPS, timed=timed, watch=unwatched
    )


def test_what_is_chosen_stands_first_and_in_no_other_row(workspace: Workspace, site: Site) -> None:
    found = run(workspace, site, timed=1)
    assert found.chosen.name == (
        "first stage: hybrid, by score · understanding: on · top_k: 10 · reranker: mini · "
        "long passages: read in windows · chunks: 12 tokens"
    )
    assert [(row.group, row.name) for row in found.rows] == [
        ("first stage", "dense"),
        ("first stage", "BM25"),
        ("first stage", "hybrid, by rank"),
        ("understanding", "off"),
        ("top_k", "20"),
        ("top_k", "50"),
        ("top_k", "100"),
        ("reranker", "off"),
        ("reranker", "mini-fast"),
        ("long passages", "cut"),
        ("chunks", "64 tokens"),
        ("chunks", "128 tokens"),
        ("chunks", "without breadcrumbs"),
    ]
    evaluation = evaluate(workspace.site(site), "cards", JUDGED, "mini", one_per_document=True)
    assert found.chosen.metrics == evaluation.reranked
    rows = {f"{row.group}: {row.name}": row for row in found.rows}
    assert rows["reranker: off"].metrics == evaluation.first_stage
    assert all(row.difference and None not in (row.search_ms, row.rerank_ms) for row in found.rows)
    off = rows["understanding: off"]
    assert off.difference is not None
    assert off.difference["mrr@5"].mean == pytest.approx(off.metrics["mrr@5"] - found.chosen.metrics["mrr@5"])


def test_other_chunks_leave_what_is_indexed(workspace: Workspace, site: Site) -> None:
    run(workspace, site, "understanding")
    before = workspace.store.provenance("ablated/cards"), workspace.store.hashes("ablated/cards")
    run(workspace, site, "chunks")
    assert (workspace.store.provenance("ablated/cards"), workspace.store.hashes("ablated/cards")) == before


def test_budgets_are_rows_of_long_passages_and_the_present_one_is_what_is_chosen(
    workspace: Workspace, tmp_path: Path
) -> None:
    long = {name: f"{text} " + "Nothing is said of it here, nor there. " * 40 for name, text in TEXTS.items()}
    records = [{"_id": name, "title": name, "text": text} for name, text in long.items()]
    settings = RetrievalSettings(top_k=6, top_n=3, read_tokens=2_000)
    site = small_site(tmp_path, records, collection="cards", retrieval=settings)
    engine = workspace.site(site)
    engine.index("cards")
    options: dict[str, Any] = {"profile": "mini", "groups": ["long passages", "reranker"], "timed": 1}
    found = ablate(workspace, engine, "cards", JUDGED, budgets=(800, 2_000, 0), watch=unwatched, **options)
    assert found.chosen.name == "long passages: 2,000 tokens a query · reranker: mini"
    names = ["800 tokens a query", "all windows", "cut", "off", "mini-fast"]
    assert [row.name for row in found.rows] == names
    rows = {row.name: row for row in (found.chosen, *found.rows)}
    few, chosen, every = (rows[name].tokens_read for name in (names[0], found.chosen.name, "all windows"))
    assert few is not None
    assert chosen is not None
    assert every is not None
    assert few.p95 <= 800 < chosen.p50 <= chosen.p95 <= 2_000 < every.p50
    assert rows["off"].tokens_read is None


def test_an_unknown_group_is_named() -> None:
    result = CliRunner().invoke(app, ["ablate", "sagedaily/canon", "--rows", "first stage,size"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no rows 'size'; there are: first stage, understanding, top_k, reranker, long passages" in result.stderr


def test_its_forms() -> None:
    assert CliRunner().invoke(app, ["index", "sagedaily"]).exit_code == 0
    options = ["--split", "test", "--limit-queries", "3", "--timed", "0", "--rows", "first stage"]
    plain, markdown, as_json = (
        CliRunner().invoke(app, ["ablate", "sagedaily/canon", *options, *form])
        for form in ([], ["--markdown"], ["--json"])
    )
    assert plain.stdout.splitlines()[2].startswith("chosen ")
    assert plain.stdout.splitlines()[-1] == "chosen: first stage: hybrid, by score"
    assert markdown.stdout.splitlines()[2].startswith("| **chosen** (first stage: hybrid, by score) | ")
    assert [row["name"] for row in json.loads(as_json.stdout)["rows"]] == ["dense", "BM25", "hybrid, by rank"]


def test_budgets_of_a_folder_in_beir_layout(tmp_path: Path) -> None:
    folder = tmp_path / "Cards"
    (folder / "qrels").mkdir(parents=True)
    texts = {name: text + " Nothing is said of it here." * 40 for name, text in TEXTS.items()}
    for name, lines in (("corpus", texts), ("queries", {query.id: query.text for query in JUDGED.queries})):
        records = [json.dumps({"_id": i, "title": "", "text": text}) for i, text in lines.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(records))
    rows = [f"{query}\t{document}\t1" for query, of in JUDGED.qrels.items() for document in of]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    command = ["ablate", str(folder), "--rows", "long passages"]
    result = CliRunner().invoke(app, [*command, "--budgets", "600,0", "--timed", "1"])
    assert result.exit_code == 0, result.output
    told, columns, *shown = result.stdout.splitlines()
    assert told == "Cards · 3 queries · milliseconds and tokens: medians of 1 (95th percentiles)"
    assert columns.split()[-2:] == ["tokens", "read"]
    names = ["chosen", "long passages: 600 tokens a query", "long passages: all windows", "long passages: cut"]
    assert all(line.startswith(f"{name} ") for line, name in zip(shown, names, strict=False))
    assert shown[-1] == "chosen: long passages: 6,000 tokens a query"
    wrong = CliRunner().invoke(app, [*command, "--budgets", "900,-1"])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "'-1' is no budget of tokens; give numbers such as 3000,12000,0 (0: all)" in wrong.stderr

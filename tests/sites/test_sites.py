"""Every site from its sample corpus to a cited answer, with the real engine and the real mini models."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overfetch import Engine, Environment, ModelNotPrepared, open_site, site_names

HEAVY = ("torch", "transformers", "sentence_transformers", "dspy", "litellm", "qdrant_client")
QUESTIONS = {
    "builddaily/resources": ("cross-encoder that reorders retrieved passages locally", "bge-reranker"),
    "builddaily/chat": ("What is Sage Daily?", "sage-daily"),
    "paiddaily/tickers": ("what could go wrong for Nvidia", "NVDA"),
    "paiddaily/catalysts": (
        "Pendle principal tokens mature in the middle of the year",
        "pendle-2025-06-26-midyear-maturity",
    ),
    "sagedaily/canon": ("Saturn square Moon", "aspects-saturn-square-moon"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sites")


@pytest.fixture(scope="module", params=site_names())
def engine(request: pytest.FixtureRequest, store: Path, session_cache: Path) -> Iterator[Engine]:
    environment = Environment(qdrant=f"file:{store}", cache=session_cache, lm=None)
    with open_site(request.param, environment=environment) as opened:
        for collection in opened.site.collections:
            if not opened.is_indexed(collection.name):
                opened.index(collection.name)
        yield opened


@pytest.mark.slow
def test_the_right_document_is_among_the_five(engine: Engine) -> None:
    for collection in engine.site.collections:
        query, right = QUESTIONS[engine.name_of(collection.name)]
        retrieval = engine.search(collection.name, query)
        assert right in [hit.passage.document_id for hit in retrieval.hits]
        assert retrieval.rerank_status == "full"
        assert all(hit.rerank_score is not None for hit in retrieval.hits)
        assert len(retrieval.hits) <= collection.retrieval.top_n


@pytest.mark.slow
def test_the_extractive_answer_quotes_what_was_retrieved(engine: Engine) -> None:
    question = QUESTIONS[engine.name_of(engine.site.ask)][0]
    answer = engine.ask(question)
    passages = {hit.passage.id: hit.passage for retrieval in answer.retrievals for hit in retrieval.hits}
    assert answer.mode == "extractive"
    assert "OVERFETCH_LM" in (answer.reason or "")
    assert answer.citations
    for citation in answer.citations:
        assert citation.quote in " ".join(passages[citation.passage_id].text.split())
        assert citation.quote in answer.answer


@pytest.mark.slow
def test_a_second_run_embeds_nothing(engine: Engine) -> None:
    for collection in engine.site.collections:
        report = engine.index(collection.name)
        assert (report.embedded, report.added, report.changed, report.removed) == (0, 0, 0, 0)
        assert report.kept > 0


@pytest.mark.slow
async def test_a_site_answers_in_an_asyncio_service(engine: Engine) -> None:
    answer = await engine.ask_async(QUESTIONS[engine.name_of(engine.site.ask)][0])
    assert answer.citations


@pytest.mark.slow
def test_resources_come_one_page_each(store: Path, session_cache: Path) -> None:
    with open_site("builddaily", environment=Environment(qdrant=f"file:{store}", cache=session_cache)) as engine:
        if not engine.is_indexed("resources"):
            engine.index("resources")
        pages = [hit.passage.document_id for hit in engine.search("resources", "reranker").hits]
    assert len(pages) == len(set(pages)) == 5


@pytest.mark.slow
def test_a_reading_grounds_each_part_in_its_own_passages(store: Path, session_cache: Path) -> None:
    with open_site("sagedaily", environment=Environment(qdrant=f"file:{store}", cache=session_cache)) as engine:
        if not engine.is_indexed("canon"):
            engine.index("canon")
        answer = engine.ask("Should I change my job?", parts=["The Tower, reversed", "Saturn square Moon"])
    tower, transit = answer.retrievals
    assert all(3 <= len(retrieval.hits) <= 5 for retrieval in (tower, transit))
    assert {hit.passage.metadata["orientation"] for hit in tower.hits} <= {"reversed", "any"}
    assert "Tower" in tower.hits[0].passage.title
    assert "Saturn" in transit.hits[0].passage.title
    assert {c.passage_id for c in answer.citations} & {hit.passage.id for hit in transit.hits}


@pytest.mark.slow
def test_the_second_ask_of_the_command_line_is_light(store: Path) -> None:
    """A fresh process that answers from a prepared cache imports nothing heavy."""
    script = (
        "import json, sys\n"
        "from overfetch.cli.main import app\n"
        "app(['ask', 'builddaily', 'What is Sage Daily?', '--json'], standalone_mode=False)\n"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]), file=sys.stderr)\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert document["mode"] == "extractive"
    assert document["citations"]
    assert set(document["citations"][0]) == {"passage_id", "document_id", "quote"}


def test_a_profile_that_is_not_prepared_names_the_command(session_cache: Path, store: Path) -> None:
    environment = Environment(qdrant=f"file:{store}", cache=session_cache, profile="bge")
    command = r"overfetch models prepare nomic-embed-text-v1\.5"
    with open_site("builddaily", environment=environment) as engine, pytest.raises(ModelNotPrepared, match=command):
        engine.index("resources", rebuild=True)

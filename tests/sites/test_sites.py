"""Every site from its sample corpus to a cited answer, with the real engine and the real mini models."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from overfetch import Environment, ModelNotPrepared, load_site, open_site
from overfetch.testing import HEAVY, SiteContract

pytestmark = pytest.mark.slow


class TestBuilddaily(SiteContract):
    site = load_site("builddaily")
    questions = (
        ("resources", "cross-encoder that reorders retrieved passages locally", "bge-reranker"),
        ("chat", "What is Sage Daily?", "sage-daily"),
    )

    def test_resources_come_one_page_each(self) -> None:
        pages = [hit.passage.document_id for hit in self.engine.search("resources", "reranker").hits]
        assert len(pages) == len(set(pages)) == 5


class TestPaiddaily(SiteContract):
    site = load_site("paiddaily")
    questions = (
        ("tickers", "what could go wrong for Nvidia", "NVDA"),
        (
            "catalysts",
            "Pendle principal tokens mature in the middle of the year",
            "pendle-2025-06-26-midyear-maturity",
        ),
    )


class TestSagedaily(SiteContract):
    site = load_site("sagedaily")
    questions = (("canon", "Saturn square Moon", "aspects-saturn-square-moon"),)

    def test_a_reading_grounds_each_part_in_its_own_passages(self) -> None:
        answer = self.engine.ask("Should I change my job?", parts=["The Tower, reversed", "Saturn square Moon"])
        tower, transit = answer.retrievals
        assert all(3 <= len(retrieval.hits) <= 5 for retrieval in (tower, transit))
        assert {hit.passage.metadata["orientation"] for hit in tower.hits} <= {"reversed", "any"}
        assert "Tower" in tower.hits[0].passage.title
        assert "Saturn" in transit.hits[0].passage.title
        assert {c.passage_id for c in answer.citations} & {hit.passage.id for hit in transit.hits}


def test_the_second_ask_of_the_command_line_is_light() -> None:
    """A fresh process that answers from a prepared cache imports nothing heavy but what runs the models."""
    watched = sorted({*HEAVY} - {"onnxruntime"})
    script = (
        "import json, sys\n"
        "from overfetch.cli.main import app\n"
        "app(['ask', 'builddaily', 'What is Sage Daily?', '--json'], standalone_mode=False)\n"
        f"print(json.dumps([m for m in {watched!r} if m in sys.modules]), file=sys.stderr)\n"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    document = json.loads(done.stdout)
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert document["mode"] == "extractive"
    assert document["citations"]
    assert set(document["citations"][0]) == {"passage_id", "document_id", "quote"}


def test_a_profile_that_is_not_prepared_names_the_command(session_cache: Path, tmp_path: Path) -> None:
    environment = Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, profile="bge")
    command = r"overfetch models prepare nomic-embed-text-v1\.5"
    with open_site("builddaily", environment=environment) as engine, pytest.raises(ModelNotPrepared, match=command):
        engine.index("resources", rebuild=True)

"""Which stage lost what is relevant: each stage once, on a corpus where it is known."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from small_site import opened_site, small_site

from overfetch import AnyOf, Engine, FieldMap, RetrievalSettings, Understood
from overfetch.evaluation.misses import ADVICE, explain_misses
from overfetch.judged import JudgedQueries, JudgedQuery
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker
from overfetch.understanding import Understand, literally

FILLER = [f"tower filler{number} {'tower ' * (number % 3)}" for number in range(12)]


def opened(folder: Path, texts: dict[str, str], understand: Understand = literally) -> Engine:
    records = [{"_id": name, "text": text, "kind": name[0]} for name, text in texts.items()]
    site = small_site(
        folder,
        records,
        fields=FieldMap(metadata=("kind",)),
        filters={"kind": "keyword"},
        understand=understand,
        retrieval=RetrievalSettings(top_k=8, top_n=5, one_per_document=True),
    )
    engine = opened_site(site)
    engine.index("pages")
    return engine


def judged(query: str, *relevant: str) -> JudgedQueries:
    return JudgedQueries(queries=(JudgedQuery(id="q", text=query),), qrels={"q": dict.fromkeys(relevant, 1)})


def fillers() -> dict[str, str]:
    return {f"f{number}": text for number, text in enumerate(FILLER)}


def test_what_is_found_is_no_miss(tmp_path: Path) -> None:
    engine = opened(tmp_path, {"a": "the tower falls", "b": "the star shines"})
    found = explain_misses(engine, "pages", judged("tower falls", "a"))
    assert (found.relevant, found.found, found.misses, found.stages) == (1, 1, (), {})


def test_a_document_that_is_not_indexed(tmp_path: Path) -> None:
    engine = opened(tmp_path, {"a": "the tower falls"})
    found = explain_misses(engine, "pages", judged("tower falls", "a", "nowhere"))
    assert [(miss.document, miss.stage) for miss in found.misses] == [("nowhere", "not indexed")]
    assert found.gain == {"not indexed": 0.5}


def test_what_a_reading_of_the_question_hides(tmp_path: Path) -> None:
    def understand(question: str, _day: object) -> Understood:
        return Understood(text=question, conditions=(AnyOf(field="kind", values=("f",)),), notes=("only f",))

    engine = opened(tmp_path, {"a": "the star shines", **fillers()}, understand)
    (miss,) = explain_misses(engine, "pages", judged("the star shines", "a")).misses
    assert miss.stage == "hidden by what was understood"
    assert miss.understood is not None
    assert explain_misses(engine, "pages", judged("the star shines", "a"), literal=True).misses == ()


class Averse(FakeReranker):
    """Likes everything but what speaks of storms."""

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        return RerankScores([0.0 if "storm" in passage else 1.0 for passage in passages], 0)


def test_what_the_second_stage_puts_below(tmp_path: Path) -> None:
    engine = opened(tmp_path, {"a": "tower storm", **{f"b{n}": f"tower number{n} of many" for n in range(6)}})
    engine.reranker = Averse()
    (miss,) = explain_misses(engine, "pages", judged("tower storm", "a")).misses
    assert miss.stage == "reranked below"
    assert (miss.first_stage_rank, miss.rank, miss.dense, miss.bm25) == (1, 7, 1, 1)


def test_without_a_second_stage_none_is_advised_to_be_tuned(tmp_path: Path) -> None:
    engine = opened(
        tmp_path, {"a": "tower and sea, far away from here", **{f"b{n}": f"tower tower {n}" for n in range(6)}}
    )
    (miss,) = explain_misses(engine, "pages", judged("tower", "a"), rerank=False).misses
    assert (miss.rank, miss.stage) == (7, "not reranked")
    assert "tune" not in ADVICE[miss.stage]


def test_what_lies_below_the_candidates(tmp_path: Path) -> None:
    texts = {"a": "tower and sea, " + "far away from here " * 5, **{f"b{n}": f"tower tower {n}" for n in range(12)}}
    (miss,) = explain_misses(opened(tmp_path, texts), "pages", judged("tower", "a")).misses
    assert miss.stage == "below the candidates"
    assert miss.rank is None


def test_a_near_copy_that_won(tmp_path: Path) -> None:
    text = "the star shines over the quiet sea tonight and nobody sees"
    copies = {f"c{number}": text for number in range(6)}
    engine = opened(tmp_path, copies)
    (miss,) = explain_misses(engine, "pages", judged("the star shines", *copies)).misses
    assert miss.stage == "a near copy won"
    assert miss.first.startswith("the star shines")


def test_every_stage_has_its_advice() -> None:
    from typing import get_args

    from overfetch.evaluation.misses import Stage

    assert set(get_args(Stage)) == set(ADVICE)


def test_shares_add_up_to_what_recall_lacks(tmp_path: Path) -> None:
    engine = opened(tmp_path, {"a": "the tower falls", **fillers()})
    found = explain_misses(engine, "pages", judged("tower", "a", *fillers()))
    assert found.found + len(found.misses) == found.relevant == 13
    assert sum(found.gain.values()) == pytest.approx(len(found.misses) / 13)

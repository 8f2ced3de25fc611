"""BM25's parameters, tried on one index in memory: they score as an index that was made with them."""

from collections.abc import Iterator

import pytest

from overfetch.bm25 import SPARSE_TOKENIZER, Bm25
from overfetch.engine import Engine
from overfetch.evaluation.evaluating import evaluate
from overfetch.evaluation.fitting import FOLDS, _held_out, _kept, fit
from overfetch.judged import JudgedQueries, read_judged_queries
from overfetch.sites import Site, load_site
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker

CANON = load_site("sagedaily").collection("canon")


@pytest.fixture(scope="module")
def judged() -> JudgedQueries:
    assert CANON.judged is not None
    return read_judged_queries(CANON.judged)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeStore]:
    opened = EdgeStore(tmp_path_factory.mktemp("collections"))
    yield opened
    opened.close()


def weighing(store: EdgeStore, bm25: Bm25, **settings: object) -> Engine:
    """The canon in these weights; with the same store, indexed in them."""
    changes = {"bm25": bm25, "retrieval": CANON.retrieval.model_copy(update=settings), "judged": None}
    canon = CANON.model_copy(update=changes)
    site = Site(name="fitting", title="Fitting", collections=(canon,), ask=canon.name)
    engine = Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)
    engine.index(canon.name)
    return engine


def found(engine: Engine, judged: JudgedQueries) -> dict[str, float]:
    return evaluate(engine, "canon", judged, "fake", rerank=False, one_per_document=True).first_stage


def test_a_choice_scores_as_an_index_made_with_it(store: EdgeStore, judged: JudgedQueries) -> None:
    engine = weighing(store, Bm25())
    result = fit(engine, "canon", judged, "canon/test")
    assert result.as_it_is.metrics == pytest.approx(found(engine, judged))
    assert result.best.choice is not None
    best = result.best.choice
    made = weighing(store, best.bm25, fusion=best.fusion, bm25_weight=best.bm25_weight)
    assert store.provenance("fitting/canon").sparse_tokenizer == best.bm25.tokenizer != SPARSE_TOKENIZER
    assert result.best.metrics == pytest.approx(found(made, judged))
    others = (result.as_it_is, result.measured, result.held_out)
    assert result.best.metrics["ndcg@10"] >= max(fitted.metrics["ndcg@10"] for fitted in others)


def test_what_does_not_pay_leaves_all_but_the_length(store: EdgeStore, judged: JudgedQueries) -> None:
    few = JudgedQueries(queries=judged.queries[:6], qrels=dict(list(judged.qrels.items())[:6]))
    result = fit(weighing(store, Bm25()), "canon", few, "canon/test")
    assert result.kept == "measured"
    passages = [p.reading for p in store.passages("fitting/canon")]
    assert result.passages == len(passages)
    assert result.choice.bm25.fitted_on is not None
    assert "canon/test, 6 queries; corpus " in result.choice.bm25.fitted_on
    defaults = Bm25(average_length=result.choice.bm25.average_length, fitted_on=result.choice.bm25.fitted_on)
    assert result.choice.bm25 == defaults


def test_folds_are_judged_by_what_the_others_chose() -> None:
    queries = 2 * FOLDS
    steady = [0.5] * queries
    lucky = [1.0 if query % FOLDS == 0 else 0.45 for query in range(queries)]  # best only by its own fold
    held_out = _held_out([{"ndcg@10": steady}, {"ndcg@10": lucky}])["ndcg@10"]
    assert [held_out[0], held_out[FOLDS]] == [0.5, 0.5]
    assert all(held_out[query] == 0.45 for query in range(queries) if query % FOLDS)


@pytest.mark.parametrize(
    ("measured", "held_out", "kept"),
    [(0.5, 0.6, "best"), (0.5, 0.5, "measured"), (0.4, 0.5, "as it is"), (0.4, 0.6, "best"), (0.6, 0.4, "measured")],
)
def test_what_is_kept(measured: float, held_out: float, kept: str) -> None:
    assert _kept([0.5] * 9, [measured] * 9, [held_out] * 9) == kept


def test_four_queries_change_nothing() -> None:
    """Their interval is above 0, and chance gives as much once in eight times."""
    assert _kept([0.5] * 4, [0.4] * 4, [0.6] * 4) == "measured"

"""A question in parts: one batch, one budget of pairs, no passage twice unless nothing else fits."""

from collections.abc import Sequence

import pytest

from overfetch.errors import SettingsError
from overfetch.ordering import keep_apart
from overfetch.pipeline import Asked, retrieve_parts
from overfetch.protocols import RerankScores, Vectors
from overfetch.settings import RetrievalSettings
from overfetch.sites import load_site
from overfetch.testing import FakeEmbedder, FakeReranker, open_fake
from overfetch.types import Chunk, Document, Hit, Passage, Retrieval
from overfetch.understanding import Focus, Understood
from tests.core.test_pipeline import PROVENANCE, FixedStore


class CountingEmbedder(FakeEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[list[str]] = []

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.runs.append(list(texts))
        return super().embed_queries(texts)


class CountingReranker(FakeReranker):
    def __init__(self) -> None:
        super().__init__()
        self.read: dict[str, int] = {}

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        self.read[query] = len(passages)
        if "fails" in query:
            raise RuntimeError("out of order")
        return RerankScores([-float(place) for place in range(len(passages))], 0)


def parts(*queries: str, documents: str = "ABCDEFGHIJKLMNOPQRST", **settings: object) -> list[Retrieval]:
    return retrieve_parts(
        [Asked(query, Understood(text=query)) for query in queries],
        "site/pages",
        store=FixedStore(documents),
        embedder=CountingEmbedder(),
        reranker=CountingReranker(),
        expected=PROVENANCE,
        settings=RetrievalSettings.model_validate(settings),
    )


def kept(retrieval: Retrieval) -> str:
    return "".join(hit.passage.document_id for hit in retrieval.hits)


def test_all_parts_are_embedded_in_one_run_and_each_text_once() -> None:
    embedder, reranker = CountingEmbedder(), CountingReranker()
    focused = Understood(text="a", focuses=(Focus(text="b"), Focus(text="c")))
    retrieve_parts(
        [Asked("a", focused), Asked("b", Understood(text="b"), "b: the whole question")],
        "site/pages",
        store=FixedStore(),
        embedder=embedder,
        reranker=reranker,
        expected=PROVENANCE,
        settings=RetrievalSettings(),
    )
    assert embedder.runs == [["a", "b", "c"]]
    assert reranker.read == {"a": 6, "b: the whole question": 6}


def test_parts_choose_in_turns_and_keep_no_passage_twice() -> None:
    first, second = parts("x", "y", top_n=3)
    assert (kept(first), kept(second)) == ("ACE", "BDF")
    assert [hit.rank for hit in second.hits] == [1, 2, 3]


def test_a_passage_comes_twice_where_nothing_else_fits() -> None:
    first, second = parts("x", "y", documents="ABCD", top_n=3)
    assert (kept(first), kept(second)) == ("ABC", "ABD")


def test_one_part_is_as_if_it_were_asked_alone() -> None:
    (only,) = parts("x", top_n=3)
    assert kept(only) == "ABC"


@pytest.mark.parametrize(
    ("number", "pairs", "each"), [(1, 10, 20), (2, 20, 10), (3, None, 20), (10, 60, 6), (12, 10, 5)]
)
def test_a_budget_of_pairs_is_shared_evenly_and_never_less_than_is_kept(number: int, pairs: int, each: int) -> None:
    assert RetrievalSettings(pairs=pairs).shared_by(number).top_k == each


def test_one_part_that_cannot_be_read_costs_the_others_nothing() -> None:
    good, bad = parts("x", "fails", top_n=2)
    assert (good.rerank_status, bad.rerank_status) == ("full", "failed")
    assert kept(bad)


def test_an_empty_part_is_refused() -> None:
    with pytest.raises(SettingsError, match="the query is empty"):
        parts("x", " ")


def test_what_is_kept_apart_stays_in_its_order() -> None:
    def hits(names: str) -> list[Hit]:
        return [
            Hit(rank=n, passage=passage(name), first_stage_rank=n, first_stage_score=0)
            for n, name in enumerate(names, 1)
        ]

    first, second = keep_apart([hits("ABC"), hits("BCA")], 2)
    assert [[hit.passage.title for hit in own] for own in (first, second)] == [["A", "C"], ["B", "C"]]


def passage(name: str) -> Passage:
    return Passage.of(Document(id=name, title=name, text=name), 0, Chunk(breadcrumb="", text=name))


def test_the_engine_asks_for_all_parts_at_once() -> None:
    engine = open_fake(load_site("sagedaily"))
    embedder = CountingEmbedder()
    engine.embedder = embedder
    answer = engine.ask("what now", parts=["The Tower", "The Star", "Saturn square Moon"])
    assert len(embedder.runs) == 1
    passages = [hit.passage.id for retrieval in answer.retrievals for hit in retrieval.hits]
    assert len(passages) == len(set(passages))

"""What whoever watches an engine is told: every retrieval, and what the models did."""

from collections.abc import Callable
from contextvars import ContextVar

from overfetch import Retrieval, RetrievalSettings, load_site
from overfetch.figures import REMEMBERED, SCORES, Figure
from overfetch.inference.caching import ScoreCache, Scored
from overfetch.testing import open_fake

who: ContextVar[str] = ContextVar("who")


def test_around_every_retrieval_stands_what_watches_it() -> None:
    seen = []

    def around(
        collection: str, settings: RetrievalSettings, retrieve: Callable[[], list[Retrieval]]
    ) -> list[Retrieval]:
        found = retrieve()
        seen.append((collection, settings.top_k, [(len(one.candidates), one.rerank_status) for one in found]))
        return found

    with open_fake(load_site("sagedaily")) as engine:
        engine.around = around
        assert engine.search("canon", "the sun", top_k=7, top_n=2).candidates == ()
        assert len(engine.search("canon", "the sun", top_k=7, top_n=2, include_candidates=True).candidates) == 7
        engine.ask("What do they mean?", parts=["the sun", "the moon"], top_k=6, top_n=2)
    assert seen[0] == seen[1] == ("sagedaily/canon", 7, [(7, "full")])
    assert [name for name, *_ in seen] == ["sagedaily/canon"] * 3
    assert len(seen[2][2]) == 2


def test_threads_that_read_parts_side_by_side_know_for_whom() -> None:
    with open_fake(load_site("sagedaily")) as engine:
        known = []
        score = engine.reranker.score

        def told(*given: object) -> object:
            known.append(who.get())
            return score(*given)  # type: ignore[arg-type]

        engine.reranker.score = told  # type: ignore[method-assign, assignment]
        token = who.set("the caller")
        engine.ask("What do they mean?", parts=["the sun", "the moon"], top_k=6, top_n=2)
        who.reset(token)
    assert set(known) == {"the caller"}
    assert len(known) >= 2


def test_scores_asked_for_and_remembered_are_counted() -> None:
    asked, remembered = SCORES.value, REMEMBERED.value
    key, other = ("model", 512, True, b"q", b"p"), ("model", 512, True, b"q", b"other")
    cache = ScoreCache(10)
    cache.keep({key: Scored(1.0, 0)})
    cache.find([key, other])
    assert (SCORES.value - asked, REMEMBERED.value - remembered) == (2, 1)


def test_a_figure_only_grows() -> None:
    figure = Figure()
    figure.add()
    figure.add(3)
    assert figure.value == 4

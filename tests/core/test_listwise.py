"""A language model as second stage, without one: its list is the order, and where there is none the reranker orders."""

import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from small_site import opened_site, small_site

from overfetch import AnswerError, Engine, Environment, LanguageModel, Retrieval, RetrievalSettings, Workspace
from overfetch.backends import list_reranker
from overfetch.errors import SettingsError
from overfetch.evaluation.evaluating import evaluate
from overfetch.evaluation.refusals import fit_refusals
from overfetch.inference.orders import OrderCache, OrderFile, Remembering
from overfetch.judged import read_judged_queries
from overfetch.pipeline import Asked, retrieve, retrieve_parts
from overfetch.protocols import ListOrder, Reranker, RerankScores
from overfetch.refusing import Evidence
from overfetch.settings import SettingsOverrides
from overfetch.testing import FakeReranker, imported_by
from overfetch.understanding import Focus, Understood
from tests.core.test_pipeline import EMBEDDER, PROVENANCE, FixedReranker, FixedStore, clock, documents

__all__ = ["clock"]

LM = LanguageModel(name="openai/lister")


class Lister:
    """Names the last one first, or what it is given; takes so many seconds, or fails."""

    identity = "openai/lister#listwise"

    def __init__(
        self,
        *places: int,
        failure: Exception | None = None,
        seconds: float = 0.0,
        repaired: int = 0,
        truncated_tokens: int = 0,
    ) -> None:
        self.places = places
        self.failure = failure
        self.seconds = seconds
        self.repaired = repaired
        self.truncated_tokens = truncated_tokens
        self.asked: list[tuple[str, list[str], float | None, int]] = []

    def warm_up(self) -> None:
        """Nothing is slow the first time."""

    def order(self, query: str, passages: Sequence[str], deadline: float | None = None, parts: int = 1) -> ListOrder:
        self.asked.append((query, list(passages), deadline, parts))
        time.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure
        places = self.places or tuple(reversed(range(len(passages))))
        return ListOrder(places, self.repaired, self.truncated_tokens)


class Untouched(FakeReranker):
    """Never asked."""

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        raise AssertionError("the list was the order")


def search(
    lister: Lister | None, reranker: Reranker | None = None, pages: str = "ABCD", **settings: object
) -> Retrieval:
    return retrieve(
        "query",
        "site/pages",
        store=FixedStore(pages),
        embedder=EMBEDDER,
        reranker=reranker or FixedReranker(*(float(place) for place in range(len(pages)))),
        lister=lister,
        expected=PROVENANCE,
        settings=RetrievalSettings.model_validate(settings),
    )


class TestOrder:
    def test_the_list_alone_is_the_order_and_no_score_is_invented(self) -> None:
        lister = Lister(2, 0, 3, 1)
        found = search(lister, Untouched())
        assert documents(found) == "CADB"
        assert (found.rerank_status, found.rerank_reason) == ("listwise", None)
        assert [hit.rerank_score for hit in found.hits] == [None] * 4
        assert [hit.first_stage_rank for hit in found.hits] == [3, 1, 4, 2]
        assert found.provenance["reranker"] == "openai/lister#listwise"
        assert lister.asked == [("query", [f"Page {name}\ntext {n}" for n, name in enumerate("ABCD")], None, 1)]

    def test_what_was_repaired_and_what_was_cut_is_told(self) -> None:
        found = search(Lister(repaired=3, truncated_tokens=120), Untouched())
        assert found.rerank_status == "listwise"
        assert found.rerank_reason == "the language model's list had 3 numbers missing, twice or made up"
        assert found.truncated_tokens == 120

    def test_what_leads_stays_first(self) -> None:
        leads = Understood(text="query", focuses=(Focus(text="query", leads=True),))
        found = retrieve_parts(
            [Asked("query", leads)],
            "site/pages",
            store=FixedStore("ABC"),
            embedder=EMBEDDER,
            reranker=Untouched(),
            lister=Lister(),
            expected=PROVENANCE,
            settings=RetrievalSettings(top_k=3, top_n=3),
        )
        assert documents(found[0]) == "CBA"
        assert all(hit.leads for hit in found[0].hits)

    def test_one_a_document(self) -> None:
        assert documents(search(Lister(), Untouched(), pages="AABC", one_per_document=True)) == "CBA"

    def test_each_part_is_a_list_and_shares_the_budget(self) -> None:
        lister = Lister()
        found = retrieve_parts(
            [Asked(query, Understood(text=query)) for query in ("one", "two", "three")],
            "site/pages",
            store=FixedStore("ABC"),
            embedder=EMBEDDER,
            reranker=Untouched(),
            lister=lister,
            expected=PROVENANCE,
            settings=RetrievalSettings(top_k=3, top_n=1),
        )
        assert [one.rerank_status for one in found] == ["listwise"] * 3
        assert sorted((query, parts) for query, _, _, parts in lister.asked) == [("one", 3), ("three", 3), ("two", 3)]

    def test_a_single_candidate_needs_no_list(self) -> None:
        lister = Lister()
        assert search(lister, pages="A").rerank_status == "full"
        assert lister.asked == []


class TestFallback:
    def test_the_reranker_orders_where_the_model_fails(self) -> None:
        found = search(Lister(failure=AnswerError("no list: 'I would rather not.'")))
        assert documents(found) == "DCBA"
        assert found.rerank_status == "fallback"
        assert found.rerank_reason == "not ordered by the language model: no list: 'I would rather not.'"
        assert [hit.rerank_score for hit in found.hits] == [3.0, 2.0, 1.0, 0.0]
        assert found.provenance["reranker"].startswith("fake-reranker@")

    @pytest.mark.parametrize("places", [(0, 1, 2), (0, 1, 2, 2), (0, 1, 2, 4), (0, 1, 2, -1)])
    def test_a_list_that_is_no_order_of_the_candidates_is_none(self, places: tuple[int, ...]) -> None:
        found = search(Lister(*places))
        assert found.rerank_status == "fallback"
        assert "no order of 4 passages" in str(found.rerank_reason)

    def test_any_error_falls_back(self) -> None:
        found = search(Lister(failure=ZeroDivisionError("division")))
        assert (found.rerank_status, documents(found)) == ("fallback", "DCBA")

    def test_what_the_reranker_did_not_read_either_is_told(self) -> None:
        partial = search(Lister(failure=AnswerError("down")), FixedReranker(1.0, 2.0), deadline_ms=5_000)
        assert partial.rerank_status == "partial"
        assert partial.rerank_reason == (
            "not ordered by the language model: down; the deadline of 5000.0 ms allowed 2 of 4 passages"
        )
        failed = search(Lister(failure=AnswerError("down")), FakeReranker(RuntimeError("out of memory")))
        assert failed.rerank_status == "failed"
        assert failed.rerank_reason == "not ordered by the language model: down; RuntimeError: out of memory"

    @pytest.mark.usefixtures("clock")
    def test_the_model_leaves_the_reranker_a_share_of_the_time(self) -> None:
        lister = Lister(failure=AnswerError("too slow"), seconds=3.0)
        found = search(lister, FakeReranker(seconds=0.2), deadline_ms=4_000)
        assert lister.asked[0][2] == pytest.approx(1_003.0)
        assert found.rerank_status == "fallback"
        assert found.timings_ms.rerank == pytest.approx(3_800)


class TestSettings:
    def test_a_call_or_a_collection_may_do_without(self) -> None:
        lister = Lister()
        assert search(lister, rerank_lm=False).rerank_status == "full"
        assert search(lister, rerank=False).rerank_status == "off"
        assert lister.asked == []

    def test_whoever_wants_one_that_is_not_there_is_told(self) -> None:
        found = search(None, rerank_lm=True)
        assert (found.rerank_status, documents(found)) == ("fallback", "DCBA")
        assert found.rerank_reason == (
            "not ordered by the language model: none is configured as second stage (OVERFETCH_RERANK_LM)"
        )
        assert search(None).rerank_status == "full"

    def test_a_request_may_say_so(self) -> None:
        assert RetrievalSettings(rerank_lm=True).override(rerank_lm=False).rerank_lm is False
        assert SettingsOverrides(rerank_lm=True).rerank_lm is True

    def test_it_needs_a_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match="OVERFETCH_RERANK_LM is set, but OVERFETCH_LM, which is to order, is not"):
            Environment(rerank_lm=True)
        monkeypatch.setenv("OVERFETCH_RERANK_LM", "1")
        with pytest.raises(SettingsError, match="OVERFETCH_LM"):
            Workspace()

    def test_its_budget_is_apart_from_that_of_the_answers(self) -> None:
        environment = Environment(lm="openai/x", lm_token_budget=500, rerank_lm=True, rerank_lm_token_budget=9_000)
        answers, lister = environment.language_model, environment.list_model
        assert answers is not None
        assert lister is not None
        assert (answers.token_budget, lister.token_budget) == (500, 9_000)
        assert lister.model_copy(update={"token_budget": 500}) == answers
        assert Environment(lm="openai/x").list_model is None

    def test_a_workspace_has_one_for_all_its_sites(self) -> None:
        with Workspace(Environment(qdrant=":memory:", lm="openai/x", rerank_lm=True)) as workspace:
            assert workspace.site("builddaily").lister is workspace.site("sagedaily").lister is not None
        with Workspace(Environment(qdrant=":memory:", lm="openai/x")) as workspace:
            assert workspace.site("builddaily").lister is None

    def test_opening_a_site_loads_no_framework(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OVERFETCH_LM", "openai/x")
        monkeypatch.setenv("OVERFETCH_RERANK_LM", "1")
        assert (
            imported_by("import overfetch\nwith overfetch.open_site('sagedaily') as engine: engine.lister.order")
            == set()
        )

    def test_a_missing_package_falls_back_and_names_its_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("overfetch.extras.PLUGINS", "overfetch.none")
        lister = list_reranker(Environment(lm="openai/x", rerank_lm=True))
        assert lister is not None
        with pytest.raises(SettingsError, match="uv add overfetch-answers"):
            lister.order("query", ["a", "b"])


SUBJECTS = (
    *("tower", "moon", "star", "sun", "hermit", "fool", "judge", "world", "chariot", "empress", "wheel", "king"),
    *("queen", "page", "knight", "magician", "justice", "strength", "devil", "lovers", "sword", "cup", "coin", "wand"),
)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    pages = [{"_id": name, "text": f"The {name} means what it means to all."} for name in SUBJECTS]
    engine = opened_site(small_site(tmp_path, pages, retrieval=RetrievalSettings(top_k=8, top_n=5)))
    engine.index("pages")
    engine.lister = Lister()
    return engine


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    queries = [{"_id": f"a{n}", "text": f"the {name} means", "split": "dev"} for n, name in enumerate(SUBJECTS)]
    none = [{"_id": f"u{n}", "text": f"price of {n} apples", "split": "dev", "answerable": False} for n in range(24)]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, [*queries, *none])), encoding="utf-8")
    rows = [f"a{n}\t{name}\t2" for n, name in enumerate(SUBJECTS)]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]), encoding="utf-8")
    return folder


class TestBeside:
    """What else looks at the second stage."""

    def test_the_evaluation_measures_the_list(self, engine: Engine, judged: Path) -> None:
        """The last one first is as bad as can be, and said to be."""
        queries = read_judged_queries(judged, "dev")
        found = evaluate(engine, "pages", queries, "fake")
        assert found.recommendation == "off"
        assert (found.not_reranked, found.fell_back) == (0, 0)
        assert found.provenance["reranker"] == Lister.identity
        assert isinstance(engine.lister, Lister)
        engine.lister.failure = AnswerError("down")
        found = evaluate(engine, "pages", queries, "fake")
        assert (found.not_reranked, found.fell_back) == (0, 24)
        assert found.provenance["reranker"].startswith("fake-reranker@")

    def test_without_reranking_no_model_is_asked(self, engine: Engine, judged: Path) -> None:
        found = evaluate(engine, "pages", read_judged_queries(judged, "dev"), "fake", rerank=False)
        assert found.reranked is None
        assert isinstance(engine.lister, Lister)
        assert engine.lister.asked == []

    def test_rules_are_fitted_on_scores(self, engine: Engine, judged: Path) -> None:
        assert fit_refusals(engine, "pages", judged, "dev").unread == 0

    def test_a_rule_reads_scores_where_there_are_any(self, engine: Engine) -> None:
        assert Evidence.of(engine.search("pages", "the star means")) is None
        assert isinstance(engine.lister, Lister)
        engine.lister.failure = AnswerError("down")
        assert Evidence.of(engine.search("pages", "the star means")) is not None

    def test_sentences_are_chosen_by_the_reranker(self, tmp_path: Path) -> None:
        """It read none of the passages, but it can tell sentences apart, which the list cannot."""
        told = " ".join(f"Number {n} was seen over the hills." for n in range(9)) + " The star means hope to all."
        pages = [{"_id": "star", "text": told}, {"_id": "rain", "text": "It rains upon the hills today."}]
        engine = opened_site(small_site(tmp_path, pages))
        engine.index("pages")
        engine.lister = Lister(0, 1)
        answer = engine.ask("the star means")
        assert answer.retrievals[0].rerank_status == "listwise"
        assert "The star means hope to all." in [citation.quote for citation in answer.citations]

    def test_what_is_measured_of_a_generation_does_not_hang_on_it(self, engine: Engine) -> None:
        from overfetch.gate import Gate

        collection = engine.site.collections[0]
        other = collection.model_copy(update={"retrieval": RetrievalSettings(top_k=8, top_n=5, rerank_lm=False)})
        queries = read_judged_queries(Path(__file__).parents[2] / "shared/evals/paiddaily/catalysts", "dev", 1)
        keys = {Gate("site/pages", one, engine.embedder)._key(queries) for one in (collection, other)}
        assert len(keys) == 1


class TestRemembering:
    def test_a_list_is_ordered_once(self) -> None:
        lister = Lister(1, 0, repaired=2, truncated_tokens=7)
        remembering = Remembering(lister, LM, OrderCache(100))
        first = remembering.order("q", ["a", "b"])
        assert first == ListOrder((1, 0), 2, 7) == remembering.order("q", ["a", "b"])
        assert len(lister.asked) == 1
        assert remembering.identity == lister.identity

    def test_another_list_is_another_question(self) -> None:
        lister, memory = Lister(), OrderCache(100)
        remembering = Remembering(lister, LM, memory)
        remembering.order("q", ["a", "b"])
        remembering.order("q", ["b", "a"])
        remembering.order("p", ["a", "b"])
        remembering.order("q", ["a", "b", ""])
        remembering.order("q", ["a\x1fb"])
        remembering.order("q", ["a", "b"], parts=2)
        for changes in ({"api_base": "http://other/v1"}, {"token_budget": 7}, {"max_tokens": 7}):
            Remembering(lister, LM.model_copy(update=changes), memory).order("q", ["a", "b"])
        other = Lister()
        other.identity = "openai/other#listwise"
        Remembering(other, LM, memory).order("q", ["a", "b"])
        assert (len(lister.asked), len(other.asked)) == (9, 1)

    def test_what_fails_is_not_remembered(self) -> None:
        lister = Lister(failure=AnswerError("down"))
        remembering = Remembering(lister, LM, OrderCache(100))
        for _ in range(2):
            with pytest.raises(AnswerError):
                remembering.order("q", ["a", "b"])
        assert len(lister.asked) == 2

    def test_an_order_takes_the_room_of_its_places(self) -> None:
        lister = Lister()
        remembering = Remembering(lister, LM, OrderCache(6))
        for query in ("one", "two", "three", "one", "three"):
            remembering.order(query, ["a", "b", "c"])
        assert [query for query, *_ in lister.asked] == ["one", "two", "three", "one"]
        remembering.order("long", list("abcdefg"))  # has no room at all
        none = Remembering(Lister(), LM, OrderCache(0))
        assert none.order("q", ["a", "b"]) == none.order("q", ["a", "b"])

    def test_a_file_serves_the_next_process_and_is_bounded(self, tmp_path: Path) -> None:
        path, lister = tmp_path / "new folder/scores.db", Lister()
        for query in map(str, range(5)):
            Remembering(lister, LM, OrderCache(0, OrderFile(path, orders=3))).order(query, ["a", "b"])
        assert len(lister.asked) == 5
        for query in map(str, range(5)):
            found = Remembering(lister, LM, OrderCache(0, OrderFile(path, orders=99))).order(query, ["a", "b"])
            assert found == ListOrder((1, 0), 0, 0)
        assert [query for query, *_ in lister.asked[5:]] == ["0", "1"]

    @pytest.mark.parametrize("damage", ["'0 0'", "'0'", "'1 2'", "NULL", "'high'", "x'00ff'", "'0 1'"])
    def test_an_order_that_somebody_changed_is_asked_for_again(self, tmp_path: Path, damage: str) -> None:
        path, lister = tmp_path / "scores.db", Lister()
        remembering = Remembering(lister, LM, OrderCache(0, OrderFile(path)))
        remembering.order("q", ["a", "b"])
        with sqlite3.connect(path) as opened:
            opened.execute(f"UPDATE orders SET places = {damage}")
        opened.close()
        assert remembering.order("q", ["a", "b"]) == ListOrder((1, 0), 0, 0)
        assert len(lister.asked) == 2

    @pytest.mark.parametrize("damage", ["no database", "a folder"])
    def test_a_file_that_fails_costs_nothing_else(self, tmp_path: Path, damage: str) -> None:
        path, lister = tmp_path / "scores.db", Lister()
        if damage == "a folder":
            path.mkdir()
        else:
            path.write_bytes(b"no database " * 100)
        remembering = Remembering(lister, LM, OrderCache(10, OrderFile(path)))
        assert remembering.order("q", ["a", "b"]) == remembering.order("q", ["a", "b"])
        assert len(lister.asked) == 1

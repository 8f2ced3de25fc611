"""The read path over fakes: order, cut-offs, the ladder under a deadline, and what reaches the store."""

import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from overfetch.engine import Engine
from overfetch.errors import CollectionMissing, DeadlineExceeded, ModelError, ProvenanceMismatch, SettingsError
from overfetch.filters import AnyOf, Condition, DateRange, KnownBy
from overfetch.pipeline import retrieve
from overfetch.protocols import EncodedQuery, Found, Reranker, RerankScores
from overfetch.provenance import Provenance, require_searchable
from overfetch.settings import RetrievalSettings
from overfetch.sites import load_site
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore, fake_spec, open_fake
from overfetch.types import AsOf, Candidate, Chunk, Document, Passage, Retrieval

EMBEDDER = FakeEmbedder()
PROVENANCE = Provenance.of(EMBEDDER.spec, "chunker/1", "sample")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only where somebody sleeps."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))


class FixedStore(FakeStore):
    """Returns the same candidates for every query and remembers what it was asked."""

    def __init__(self, documents: Sequence[str] = "ABCDEF", seconds: float = 0.0) -> None:
        super().__init__()
        self.candidates = [candidate(document, place) for place, document in enumerate(documents)]
        self.seconds = seconds
        self.asked: list[tuple[str, Sequence[Condition], RetrievalSettings]] = []

    def provenance(self, collection: str) -> Provenance:
        return PROVENANCE

    def search(
        self,
        collection: str,
        query: EncodedQuery,
        conditions: Sequence[Condition],
        settings: RetrievalSettings,
        *,
        expected: Provenance | None = None,
    ) -> Found:
        if expected is not None:
            require_searchable(collection, PROVENANCE, expected)
        self.asked.append((collection, conditions, settings))
        time.sleep(self.seconds)
        return Found(self.candidates[: settings.top_k], PROVENANCE)


class FixedReranker(FakeReranker):
    """Returns the given logits, however many were asked for."""

    def __init__(self, *logits: float, truncated_tokens: int = 0) -> None:
        super().__init__()
        self.scores = RerankScores(list(logits), truncated_tokens)
        self.read: list[str] = []

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        self.read = list(passages)
        return self.scores


def candidate(document: str, place: int) -> Candidate:
    source = Document(id=document, title=document, text=document)
    passage = Passage.of(source, place, Chunk(breadcrumb=f"Page {document}", text=f"text {place}"))
    return Candidate(passage=passage, score=1.0 - place / 100)


def search(
    store: FixedStore, reranker: Reranker, query: str = "query", as_of: AsOf | None = None, **settings: object
) -> Retrieval:
    return retrieve(
        query,
        "site/pages",
        store=store,
        embedder=EMBEDDER,
        reranker=reranker,
        expected=PROVENANCE,
        settings=RetrievalSettings.model_validate(settings),
        as_of=as_of,
    )


def documents(retrieval: Retrieval) -> str:
    return "".join(hit.passage.document_id for hit in retrieval.hits)


def test_hits_are_ordered_by_logit() -> None:
    retrieval = search(FixedStore("ABCD"), FixedReranker(-3.0, 7.5, 0.0, 7.4))
    assert documents(retrieval) == "BDCA"
    assert [hit.rank for hit in retrieval.hits] == [1, 2, 3, 4]
    assert [hit.first_stage_rank for hit in retrieval.hits] == [2, 4, 3, 1]
    assert [hit.rerank_score for hit in retrieval.hits] == [7.5, 7.4, 0.0, -3.0]
    assert [hit.first_stage_score for hit in retrieval.hits] == [0.99, 0.97, 0.98, 1.0]


def test_equal_logits_keep_first_stage_order() -> None:
    assert documents(search(FixedStore("ABCD"), FixedReranker(1.0, 2.0, 1.0, 2.0))) == "BDAC"


def test_scores_are_raw_logits_not_squashed_into_ties() -> None:
    retrieval = search(FixedStore("AB"), FixedReranker(40.0, 41.0))
    assert documents(retrieval) == "BA"
    assert retrieval.hits[0].rerank_score == 41.0


@pytest.mark.parametrize(
    ("weight", "expected"),
    [(0.0, "ABCD"), (0.4, "ACBD"), (0.5, "ACDB"), (0.7, "CDAB"), (1.0, "DCAB"), (None, "DCAB")],
)
def test_order_weight_is_the_share_of_the_reranker(weight: float | None, expected: str) -> None:
    retrieval = search(FixedStore("ABCD"), FixedReranker(-1.0, -2.0, 3.0, 3.5), order_weight=weight)
    assert documents(retrieval) == expected
    assert {hit.rerank_score for hit in retrieval.hits} == {-1.0, -2.0, 3.0, 3.5}, "scores stay raw logits"


def test_the_weight_of_a_reranker_counts_unless_the_settings_have_one() -> None:
    reranker = FixedReranker(1.0, 2.0, 3.0)
    reranker.spec = reranker.spec.model_copy(update={"order_weight": 0.0})
    assert documents(search(FixedStore("ABC"), reranker)) == "ABC"
    assert documents(search(FixedStore("ABC"), reranker, order_weight=1.0)) == "CBA"
    reranker.spec = reranker.spec.model_copy(update={"order_weight": 1.0})
    assert documents(search(FixedStore("ABC"), reranker, order_weight=0.0)) == "ABC"


@pytest.mark.parametrize("logits", [(2.0, 2.0, 2.0), (5.0,), ()])
def test_equal_or_few_scores_can_be_weighed_too(logits: tuple[float, ...]) -> None:
    retrieval = search(FixedStore("ABC"), FixedReranker(*logits), order_weight=0.5, deadline_ms=5000)
    assert documents(retrieval) == "ABC"


def test_top_k_bounds_what_is_read_and_top_n_what_is_kept() -> None:
    reranker = FixedReranker(1.0, 2.0, 3.0, 4.0)
    retrieval = search(FixedStore("ABCDEF"), reranker, top_k=4, top_n=2)
    assert len(reranker.read) == 4
    assert documents(retrieval) == "DC"


def test_the_reranker_reads_breadcrumb_and_text() -> None:
    reranker = FixedReranker(1.0)
    search(FixedStore("A"), reranker)
    assert reranker.read == ["Page A\ntext 0"]


def test_one_per_document_keeps_the_best_passage_of_each() -> None:
    logits = (1.0, 5.0, 3.0, 2.0, 4.0)
    grouped = search(FixedStore("ABABC"), FixedReranker(*logits), one_per_document=True)
    assert documents(grouped) == "BCA"
    assert [hit.rerank_score for hit in grouped.hits] == [5.0, 4.0, 3.0]
    assert [hit.rank for hit in grouped.hits] == [1, 2, 3]
    assert documents(search(FixedStore("ABABC"), FixedReranker(*logits))) == "BCABA"


def test_grouping_happens_before_the_cut() -> None:
    retrieval = search(FixedStore("AAAB"), FixedReranker(4.0, 3.0, 2.0, 1.0), top_k=4, top_n=2, one_per_document=True)
    assert documents(retrieval) == "AB"


def test_documents_with_the_same_value_count_as_one_where_the_settings_name_a_field() -> None:
    store = FixedStore("ABCD")
    owners = {"A": "x", "B": "y", "C": "x"}
    owned = [
        c.passage.model_copy(update={"metadata": {"owner": owners.get(c.passage.title)}}) for c in store.candidates
    ]
    store.candidates = [Candidate(passage=p, score=c.score) for p, c in zip(owned, store.candidates, strict=True)]
    reranker = FixedReranker(1.0, 2.0, 3.0, 4.0)
    assert documents(search(store, reranker, one_per_document=True, one_per="owner")) == "DCB"
    assert documents(search(store, reranker, one_per_document=True)) == "DCBA"
    assert documents(search(store, reranker, one_per="owner")) == "DCBA"


def test_grouping_without_scores_keeps_first_stage_order() -> None:
    retrieval = search(FixedStore("ABABC"), FixedReranker(), one_per_document=True, rerank=False)
    assert documents(retrieval) == "ABC"
    assert [hit.first_stage_rank for hit in retrieval.hits] == [1, 2, 5]


def test_status_full_needs_no_reason() -> None:
    retrieval = search(FixedStore("AB"), FixedReranker(1.0, 2.0, truncated_tokens=17))
    assert (retrieval.rerank_status, retrieval.rerank_reason) == ("full", None)
    assert retrieval.truncated_tokens == 17


def test_what_a_budget_left_out_is_said() -> None:
    reranker = FixedReranker(1.0, 2.0, truncated_tokens=17)
    reranker.spec = reranker.spec.within(900)
    retrieval = search(FixedStore("AB"), reranker)
    assert (retrieval.rerank_status, documents(retrieval)) == ("full", "BA")
    assert retrieval.rerank_reason == "17 tokens of long passages were left out: 900 a query are read"
    assert retrieval.provenance["read_tokens"] == "900"
    assert reranker.spec.within(0).read_tokens is None
    assert reranker.spec.within(None).read_tokens == 900
    whole = FixedReranker(1.0, 2.0)
    whole.spec = reranker.spec
    assert search(FixedStore("AB"), whole).rerank_reason is None


def test_status_partial_puts_scored_before_unscored() -> None:
    retrieval = search(FixedStore("ABCDE"), FixedReranker(-9.0, -1.0), deadline_ms=5000)
    assert retrieval.rerank_status == "partial"
    assert retrieval.rerank_reason == "the deadline of 5000.0 ms allowed 2 of 5 passages"
    assert documents(retrieval) == "BACDE"
    assert [hit.rerank_score for hit in retrieval.hits] == [-1.0, -9.0, None, None, None]


def test_a_slow_reranker_is_stopped_by_the_deadline(clock: None) -> None:
    retrieval = search(FixedStore("ABCDEF"), FakeReranker(seconds=0.25), deadline_ms=500)
    assert retrieval.rerank_status == "partial"
    assert retrieval.rerank_reason == "the deadline of 500.0 ms allowed 2 of 6 passages"
    assert [hit.first_stage_rank for hit in retrieval.hits if hit.rerank_score is not None] == [1, 2]


def test_what_the_first_stage_spends_is_missing_later(clock: None) -> None:
    retrieval = search(FixedStore("ABCDEF", seconds=0.25), FakeReranker(seconds=0.25), deadline_ms=500)
    assert retrieval.rerank_reason == "the deadline of 500.0 ms allowed 1 of 6 passages"


def test_status_skipped_when_the_deadline_left_no_time(clock: None) -> None:
    retrieval = search(FixedStore("ABC", seconds=1), FakeReranker(), deadline_ms=10)
    assert retrieval.rerank_status == "skipped"
    assert retrieval.rerank_reason == "the deadline of 10.0 ms allowed 0 of 3 passages"
    assert documents(retrieval) == "ABC"
    assert all(hit.rerank_score is None for hit in retrieval.hits)


def test_status_skipped_when_there_is_nothing_to_read() -> None:
    retrieval = search(FixedStore(""), FakeReranker())
    assert (retrieval.rerank_status, retrieval.rerank_reason) == ("skipped", "the first stage found nothing")
    assert retrieval.hits == ()


def test_status_off_keeps_first_stage_order_and_scores_nothing() -> None:
    reranker = FixedReranker(1.0, 2.0, 3.0)
    retrieval = search(FixedStore("ABC"), reranker, rerank=False)
    assert (retrieval.rerank_status, retrieval.rerank_reason) == ("off", "switched off in the settings")
    assert documents(retrieval) == "ABC"
    assert reranker.read == []


@pytest.mark.parametrize("failure", [ModelError("no weights"), RuntimeError("out of memory"), ValueError("shape")])
def test_status_failed_names_the_failure_and_keeps_first_stage_order(failure: Exception) -> None:
    retrieval = search(FixedStore("ABC"), FakeReranker(failure=failure))
    assert retrieval.rerank_status == "failed"
    assert retrieval.rerank_reason == f"{type(failure).__name__}: {failure}"
    assert documents(retrieval) == "ABC"
    assert all(hit.rerank_score is None for hit in retrieval.hits)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_a_failure_not_an_order(broken: float) -> None:
    retrieval = search(FixedStore("ABC"), FixedReranker(1.0, broken, 3.0))
    assert retrieval.rerank_status == "failed"
    assert documents(retrieval) == "ABC"


def test_more_scores_than_passages_are_a_failure() -> None:
    retrieval = search(FixedStore("AB"), FixedReranker(1.0, 2.0, 3.0))
    assert retrieval.rerank_status == "failed"
    assert retrieval.rerank_reason is not None
    assert "3 scores for 2 passages" in retrieval.rerank_reason


def test_an_interrupt_is_not_swallowed() -> None:
    class Interrupted(FakeReranker):
        def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(FixedStore(), Interrupted())


@pytest.mark.parametrize("query", ["", " ", "\n\t ", "\u00a0"])
def test_an_empty_query_is_wrong_usage(query: str) -> None:
    with pytest.raises(SettingsError, match="the query is empty"):
        search(FixedStore(), FakeReranker(), query=query)


def test_deadline_exceeded_only_without_any_candidate(clock: None) -> None:
    with pytest.raises(DeadlineExceeded, match=r"10\.0 ms passed before 'site/pages' returned a candidate"):
        search(FixedStore("", seconds=1), FakeReranker(), deadline_ms=10)
    assert search(FixedStore("", seconds=1), FakeReranker(), deadline_ms=2000).hits == ()


def test_provenance_tells_what_served_the_hits() -> None:
    retrieval = search(FixedStore(), FakeReranker())
    assert retrieval.provenance == {
        "embedder": EMBEDDER.spec.identity,
        "reranker": fake_spec("reranker", "fake-reranker").identity,
        "chunker": "chunker/1",
        "sparse_tokenizer": PROVENANCE.sparse_tokenizer,
        "indexed": PROVENANCE.created,
        "passages": str(PROVENANCE.passages or 0),
        "library_version": PROVENANCE.library_version,
    }


def test_under_as_of_nothing_tells_the_size_of_the_whole() -> None:
    """It grows with what came later."""
    whole = search(FixedStore(), FakeReranker()).provenance
    bound = AsOf(field="known_at", moment=datetime(2024, 3, 1, tzinfo=UTC))
    then = search(FixedStore(), FakeReranker(), as_of=bound).provenance
    assert whole.keys() - then.keys() == {"indexed", "passages"}


def test_timings_cover_every_stage(clock: None) -> None:
    timings = search(FixedStore("AB", seconds=0.03), FakeReranker(seconds=0.02)).timings_ms
    assert timings.model_dump() == {"embed": 0, "search": 30, "rerank": 40, "total": 70}


def test_another_embedder_is_refused() -> None:
    other = FakeEmbedder(revision="1")
    with pytest.raises(ProvenanceMismatch, match="embedder: stored 'fake-embedder@0#fp32', wanted 'fake-embedder@1"):
        retrieve(
            "query",
            "site/pages",
            store=FixedStore(),
            embedder=other,
            reranker=FakeReranker(),
            expected=Provenance.of(other.spec, "chunker/1", "sample"),
            settings=RetrievalSettings(),
        )


def test_a_newer_chunker_may_still_search() -> None:
    retrieval = retrieve(
        "query",
        "site/pages",
        store=FixedStore(),
        embedder=EMBEDDER,
        reranker=FakeReranker(),
        expected=Provenance.of(EMBEDDER.spec, "chunker/2", "sample"),
        settings=RetrievalSettings(),
    )
    assert retrieval.provenance["chunker"] == "chunker/1"


def engine_over(store: FakeStore) -> Engine:
    return Engine(load_site("paiddaily"), embedder=EMBEDDER, reranker=FakeReranker(), store=store)


def asked_conditions(**options: object) -> list[Condition]:
    store = FixedStore()
    engine_over(store).search("catalysts", "listing", **options)  # type: ignore[arg-type]
    collection, conditions, _ = store.asked[0]
    assert collection == "paiddaily/catalysts"
    return list(conditions)


def test_where_reaches_the_store_typed() -> None:
    already_typed = AnyOf(field="symbol", values=("PENDLE",))
    assert asked_conditions(where=["type=listing|unlock", already_typed]) == [
        AnyOf(field="type", values=("listing", "unlock")),
        already_typed,
    ]


def test_as_of_bounds_what_was_known_to_the_end_of_the_day() -> None:
    end = datetime(2024, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)
    assert asked_conditions(as_of="2024-03-01") == [KnownBy(field="known_at", end=end)]


def test_near_bounds_the_event_on_both_sides() -> None:
    near = DateRange(
        field="date",
        start=datetime(2024, 1, 16, tzinfo=UTC),
        end=datetime(2024, 4, 15, 23, 59, 59, 999999, tzinfo=UTC),
    )
    assert asked_conditions(near="2024-03-01") == [near]


def test_settings_of_the_collection_reach_the_store_with_the_overrides() -> None:
    store = FixedStore()
    engine_over(store).search("catalysts", "listing", top_k=7, first_stage="dense", one_per_document=False)
    settings = store.asked[0][2]
    assert (settings.top_k, settings.top_n, settings.first_stage) == (7, 5, "dense")
    assert not settings.one_per_document


@pytest.mark.parametrize(("option", "value"), [("as_of", "2024-01-01"), ("near", "2024-01-01")])
def test_a_collection_without_that_date_refuses_the_bound(option: str, value: str) -> None:
    engine = Engine(load_site("sagedaily"), embedder=EMBEDDER, reranker=FakeReranker(), store=FixedStore())
    with pytest.raises(SettingsError, match=f"'canon' has no such date: {option} .'2024-01-01'. cannot be honoured"):
        engine.search("canon", "the tower", **{option: value})  # type: ignore[arg-type]


def test_a_missing_collection_names_the_command() -> None:
    with pytest.raises(CollectionMissing, match="overfetch index paiddaily/catalysts"):
        engine_over(FakeStore()).search("catalysts", "listing")


async def test_async_search_equals_search() -> None:
    engine = engine_over(FixedStore("CAB"))
    awaited = await engine.search_async("catalysts", "text 1", top_n=2)
    assert awaited.hits == engine.search("catalysts", "text 1", top_n=2).hits
    assert all(a.rank < b.rank for a, b in pairwise(awaited.hits))


def test_one_page_cannot_crowd_out_the_others() -> None:
    """Where one a document is kept, `top_n` documents are kept if the store has them, however long a page is."""
    engine = open_fake(load_site("builddaily"))
    for top_k in (5, 20):
        hits = engine.search("resources", "pin a model to a commit", top_k=top_k, top_n=5).hits
        assert len({hit.passage.document_id for hit in hits}) == len(hits) == 5

"""What every store promises. The expected ids stand in the tests, so no store is its own judge."""

import random
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean, stdev

import numpy as np
import pytest

from overfetch.errors import CollectionMissing, ModelError, ProvenanceMismatch, StoreError
from overfetch.filters import (
    AnyOf,
    Condition,
    DateRange,
    FullText,
    NumberRange,
    Schema,
    comparable,
    parse_condition,
    parse_date,
)
from overfetch.fusion import fuse
from overfetch.indexing import encode
from overfetch.protocols import EncodedQuery, Store
from overfetch.provenance import Provenance, Recall
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.testing import FakeEmbedder, FakeStore
from overfetch.types import Candidate, Chunk, Document, MetadataValue, Passage

EncodeQuery = Callable[[str], EncodedQuery]
Filtered = Callable[..., list[str]]
Answers = Callable[[Store, str, RetrievalSettings], list[Candidate]]

SCHEMA: Schema = {"kind": "keyword", "tags": "keyword", "price": "number", "date": "date", "note": "text"}
NO_FILTERS: Schema = {}
EVERYTHING = RetrievalSettings(top_k=100)
RRF = EVERYTHING.override(fusion="rrf")
DENSE = RetrievalSettings(top_k=100, first_stage="dense")
EVERY_PASSAGE = EncodedQuery(FakeEmbedder().embed_queries(["edition"])[0], embed_sparse_query("edition"))
BM25 = RetrievalSettings(top_k=100, first_stage="bm25")
WORDS = (
    *("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor", "island", "jungle", "kettle"),
    *("ladder", "mirror", "needle", "orchid", "planet", "quartz", "river", "silver", "tunnel", "umbrella", "valley"),
    *("window", "yellow", "zebra", "anchor", "basket", "copper", "dragon", "ember"),
)


def passage(name: str, text: str, **metadata: MetadataValue) -> Passage:
    document = Document(id=name, title=f"Title of {name}", text=text, metadata=metadata)
    return Passage.of(document, 0, Chunk(breadcrumb=f"Guide > {name}", text=text))


def filterable(passages: Sequence[Passage], schema: Schema) -> list[Passage]:
    return [p.model_copy(update={"filters": comparable(p.metadata, schema)}) for p in passages]


def provenance(source: str = "corpus.jsonl") -> Provenance:
    return Provenance.of(FakeEmbedder().spec, "contract/1", source)


def write(
    store: Store,
    collection: str,
    passages: Sequence[Passage],
    *,
    delete: Sequence[Passage] = (),
    schema: Schema = NO_FILTERS,
    rebuild: bool = False,
    source: str = "corpus.jsonl",
) -> None:
    with store.write(collection, provenance(source), schema, rebuild=rebuild) as writer:
        writer.upsert(encode(filterable(passages, schema), FakeEmbedder()))
        writer.delete([p.id for p in delete])


def hashes_of(passages: Iterable[Passage]) -> dict[str, str]:
    return {p.id: p.content_hash for p in passages}


def names_of(candidates: Sequence[Candidate]) -> list[str]:
    return [c.passage.document_id for c in candidates]


HALVING = passage("halving", "The bitcoin halving cuts the reward of miners", tags=["bitcoin", "supply"], price=64_000)
MERGE = passage("merge", "The ethereum merge replaced miners by validators", kind="event", price=1_500.25)
OUTAGE = passage("outage", "Solana stood still for five hours", note="Zürich saw it too", final=True, zero=0, none=None)
CORPUS = [HALVING, MERGE, OUTAGE]


class TestMissing:
    def test_reading_names_the_command_that_indexes(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        readings: list[Callable[[], object]] = [
            lambda: store.provenance(collection),
            lambda: store.count(collection),
            lambda: store.search(collection, encode_query("bitcoin"), [], EVERYTHING).candidates,
        ]
        for read in readings:
            with pytest.raises(CollectionMissing, match=f"overfetch index {collection}$"):
                read()

    def test_there_are_no_hashes(self, store: Store, collection: str) -> None:
        assert store.hashes(collection) == {}

    def test_another_collection_does_not_answer_for_it(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS)
        with pytest.raises(CollectionMissing):
            store.count(f"{collection}2")


class TestRoundTrip:
    def test_every_passage_comes_back_identical(self, store: Store, collection: str, encode_query: EncodeQuery) -> None:
        write(store, collection, CORPUS)
        found = store.search(collection, encode_query("bitcoin miners"), [], EVERYTHING).candidates
        assert {c.passage.id: c.passage for c in found} == {p.id: p for p in CORPUS}
        assert hashes_of(c.passage for c in found) == hashes_of(CORPUS)  # 64000 is not 64000.0 here

    def test_a_writer_reads_back_what_is_stored(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS)
        encoded = {e.passage.id: e for e in encode(CORPUS, FakeEmbedder())}
        with store.write(collection, provenance(), NO_FILTERS) as writer:
            found = writer.read([HALVING.id, OUTAGE.id, passage("unknown", "").id])
            writer.upsert(found)
        assert {e.passage.id: e.passage for e in found} == {p.id: p for p in (HALVING, OUTAGE)}
        for passage_id, dense, sparse in ((e.passage.id, e.dense, e.sparse) for e in found):
            assert dense.tolist() == pytest.approx(encoded[passage_id].dense.tolist(), abs=1e-6)
            weights = dict(zip(*encoded[passage_id].sparse, strict=True))
            assert dict(zip(*sparse, strict=True)) == pytest.approx(weights)
        assert store.hashes(collection) == hashes_of(CORPUS)

    def test_hashes_and_count(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS)
        assert store.hashes(collection) == hashes_of(CORPUS)
        assert store.count(collection) == len(CORPUS)

    def test_provenance(self, store: Store, collection: str) -> None:
        made = provenance()
        with store.write(collection, made, NO_FILTERS) as writer:
            writer.upsert(encode(CORPUS, FakeEmbedder()))
        stored = store.provenance(collection)
        assert stored == made.holding(hashes_of(CORPUS), None)
        assert (stored.passages, len(stored.corpus_hash or "")) == (3, 64)

    def test_an_empty_collection_is_indexed_all_the_same(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        write(store, collection, [], delete=CORPUS)
        assert store.count(collection) == 0
        assert store.search(collection, encode_query("bitcoin"), [], EVERYTHING).candidates == []

    def test_collections_do_not_mix(self, store: Store, collection: str) -> None:
        write(store, collection, [HALVING])
        write(store, f"{collection}-too", [MERGE, OUTAGE])
        assert store.hashes(collection) == hashes_of([HALVING])
        assert store.count(f"{collection}-too") == 2


class TestValues:
    def test_the_commonest_values_come_first(self, store: Store, collection: str) -> None:
        pages = [passage(f"page {n}", "text", kind="tool" if n % 3 else "model", tags=["b", "a"]) for n in range(6)]
        other = passage("other", "text", kind="note", tags=["a", "a", "c"])
        write(store, collection, [*pages, other], schema=SCHEMA)
        counted = {field: store.values(collection, field, most) for field, most in (("kind", 10), ("tags", 2))}
        assert [(v.value, v.passages) for v in counted["kind"]] == [("tool", 4), ("model", 2), ("note", 1)]
        assert [(v.value, v.passages) for v in counted["tags"]] == [("a", 7), ("b", 6)]

    def test_what_was_deleted_or_changed_is_not_counted(self, store: Store, collection: str) -> None:
        pages = [passage(f"page {n}", "text", kind="tool") for n in range(6)]
        write(store, collection, pages, schema=SCHEMA)
        changed = passage("page 0", "text", kind="model")
        write(store, collection, [changed], delete=pages[4:], schema=SCHEMA)
        assert [(v.value, v.passages) for v in store.values(collection, "kind", 10)] == [("tool", 3), ("model", 1)]

    def test_what_nobody_has_has_no_values(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS, schema={"owner": "keyword"})
        assert store.values(collection, "owner", 10) == []

    def test_what_is_not_there_cannot_be_counted(self, store: Store, collection: str) -> None:
        with pytest.raises(CollectionMissing):
            store.values(collection, "kind", 10)


class TestWriting:
    def test_an_incremental_run_adds_changes_and_deletes(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        changed = passage("merge", "The ethereum merge saved much electricity", kind="event")
        added = passage("etf", "The first spot ETF was approved")
        write(store, collection, [changed, added], delete=[OUTAGE])
        assert store.hashes(collection) == hashes_of([HALVING, changed, added])
        found = store.search(collection, encode_query("ethereum electricity"), [], EVERYTHING).candidates
        assert found[0].passage == changed
        assert {c.passage.id for c in found} == {HALVING.id, changed.id, added.id}

    def test_a_changed_passage_is_found_by_its_new_words_only(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        write(store, collection, [passage("halving", "Ordinary weather")])
        first = store.search(collection, encode_query("bitcoin reward miners"), [], EVERYTHING).candidates[0]
        assert first.passage.document_id == "merge"

    def test_the_writer_knows_what_is_stored_and_what_it_wrote(self, store: Store, collection: str) -> None:
        write(store, collection, [HALVING, MERGE])
        with store.write(collection, provenance(), NO_FILTERS) as writer:
            assert writer.hashes() == hashes_of([HALVING, MERGE])
            writer.upsert(encode([OUTAGE], FakeEmbedder()))
            writer.delete([MERGE.id])
            assert writer.hashes() == hashes_of([HALVING, OUTAGE])

    def test_writing_twice_is_writing_once(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS)
        write(store, collection, CORPUS, delete=[passage("never", "stored")])
        assert store.count(collection) == len(CORPUS)

    def test_a_rebuild_replaces_everything(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS, source="old")
        write(store, collection, [passage("etf", "The first spot ETF")], rebuild=True, source="new")
        assert store.hashes(collection) == hashes_of([passage("etf", "The first spot ETF")])
        assert store.provenance(collection).source == "new"

    def test_a_rebuild_starts_from_nothing(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS)
        with store.write(collection, provenance(), NO_FILTERS, rebuild=True) as writer:
            assert writer.hashes() == {}

    def test_an_incremental_run_renews_the_provenance(self, store: Store, collection: str) -> None:
        write(store, collection, [HALVING], source="sample")
        write(store, collection, [MERGE], source="corpus.jsonl")
        # Otherwise the sample corpus could silently replace the real one.
        assert store.provenance(collection).source == "corpus.jsonl"


class TestContents:
    def test_passages_are_found_by_id(self, store: Store, collection: str) -> None:
        write(store, collection, [passage(word, f"{word} edition", kind=word) for word in WORDS])
        wanted = [passage(word, f"{word} edition", kind=word) for word in WORDS[:3]]
        found = store.find(collection, [*(p.id for p in wanted), passage("nobody", "x").id])
        assert sorted(found, key=lambda p: p.id) == sorted(wanted, key=lambda p: p.id)
        assert store.find(collection, []) == []

    def test_passages_are_read_with_their_vectors(self, store: Store, collection: str) -> None:
        write(store, collection, CORPUS)
        with store.write(collection, provenance(), NO_FILTERS) as writer:
            written = {e.passage.id: e for e in writer.read([HALVING.id, OUTAGE.id])}
        read = {e.passage.id: e for e in store.read(collection, [HALVING.id, OUTAGE.id, passage("unknown", "").id])}
        assert {i: (e.passage, e.sparse) for i, e in read.items()} == {
            i: (e.passage, e.sparse) for i, e in written.items()
        }
        assert all(np.array_equal(read[i].dense, written[i].dense) for i in written)
        with pytest.raises(CollectionMissing):
            store.read(f"{collection}2", [HALVING.id])

    def test_all_passages_stream(self, store: Store, collection: str) -> None:
        many = [passage(f"{word}-{number}", f"{word} edition", price=number) for word in WORDS for number in range(12)]
        write(store, collection, many)
        assert sorted(store.passages(collection), key=lambda p: p.id) == sorted(many, key=lambda p: p.id)

    def test_nothing_is_left_of_what_is_dropped(self, store: Store, collection: str) -> None:
        assert store.drop(collection) == []
        write(store, collection, [passage("apple", "apple edition")])
        write(store, collection, [passage("pear", "pear edition")], rebuild=True)
        assert [generation.state for generation in store.drop(collection)] == ["live", "previous"]
        assert store.generations(collection) == []
        for read in (store.provenance, store.count, lambda name: list(store.passages(name))):
            with pytest.raises(CollectionMissing):
                read(collection)
        with pytest.raises(CollectionMissing):
            store.find(collection, ["x"])
        write(store, collection, [passage("plum", "plum edition")])
        assert [p.document_id for p in store.passages(collection)] == ["plum"]

    def test_other_collections_stay(self, store: Store, collection: str) -> None:
        write(store, collection, [passage("apple", "apple edition")])
        write(store, f"{collection}x", [passage("pear", "pear edition")])
        store.drop(collection)
        assert store.count(f"{collection}x") == 1


class TestFailingWriter:
    """Whatever happens inside `with store.write(...)`, the caller's error arrives as it was raised."""

    failures = pytest.mark.parametrize(
        "failure",
        [Exception("bare"), OSError("the model's disk"), ConnectionError("the model's hub"), ModelError("no model")],
        ids=lambda failure: type(failure).__name__,
    )

    @failures
    def test_a_new_collection_stays_missing(self, store: Store, collection: str, failure: Exception) -> None:
        self.fail_writing(store, collection, failure)
        assert store.hashes(collection) == {}
        with pytest.raises(CollectionMissing):
            store.count(collection)

    @failures
    def test_a_rebuild_leaves_what_was_published(
        self, store: Store, collection: str, failure: Exception, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        self.fail_writing(store, collection, failure, rebuild=True)
        assert store.hashes(collection) == hashes_of(CORPUS)
        found = store.search(collection, encode_query("bitcoin"), [], EVERYTHING).candidates
        assert {c.passage.id for c in found} == {p.id for p in CORPUS}

    def test_the_next_run_works(self, store: Store, collection: str) -> None:
        self.fail_writing(store, collection, ValueError("once"))
        write(store, collection, CORPUS)
        assert store.hashes(collection) == hashes_of(CORPUS)

    @staticmethod
    def fail_writing(store: Store, collection: str, failure: Exception, *, rebuild: bool = False) -> None:
        def lose() -> None:
            with store.write(collection, provenance("lost"), NO_FILTERS, rebuild=rebuild) as writer:
                writer.upsert(encode([passage("lost", "bitcoin")], FakeEmbedder()))
                raise failure

        with pytest.raises(type(failure)) as raised:
            lose()
        assert raised.value is failure


class TestGenerations:
    """A rebuild makes a new generation on every store; what is compatible may go in place on a server."""

    def texts(self, store: Store, collection: str) -> set[str]:
        return {c.passage.text for c in store.search(collection, EVERY_PASSAGE, [], EVERYTHING).candidates}

    def three(self, store: Store, collection: str) -> None:
        for edition in (1, 2, 3):
            write(store, collection, [passage("note", f"edition {edition}")], rebuild=True)

    def test_nothing_is_stored_yet(self, store: Store, collection: str) -> None:
        assert store.generations(collection) == []
        assert store.prune(collection) == []
        with pytest.raises(CollectionMissing):
            store.rollback(collection)

    def test_the_live_one_and_the_one_before_are_kept(self, store: Store, collection: str) -> None:
        self.three(store, collection)
        live, previous = store.generations(collection)
        assert (live.state, live.passages) == ("live", 1)
        assert (previous.state, previous.passages) == ("previous", 1)
        assert live.provenance == store.provenance(collection)
        assert previous.provenance is not None
        assert previous.provenance.corpus_hash != store.provenance(collection).corpus_hash

    def test_a_rollback_goes_back_and_another_one_forth(self, store: Store, collection: str) -> None:
        self.three(store, collection)
        before = store.generations(collection)
        assert store.rollback(collection).name == before[1].name
        assert self.texts(store, collection) == {"edition 2"}
        assert store.hashes(collection) == hashes_of([passage("note", "edition 2")])
        assert [g.state for g in store.generations(collection)] == ["live", "previous"]
        assert store.rollback(collection).name == before[0].name
        assert self.texts(store, collection) == {"edition 3"}

    def test_after_a_rollback_the_next_write_starts_from_what_is_live(self, store: Store, collection: str) -> None:
        self.three(store, collection)
        names = {g.name for g in store.generations(collection)}
        store.rollback(collection)
        write(store, collection, [passage("more", "added")])
        assert self.texts(store, collection) == {"edition 2", "added"}
        write(store, collection, [passage("note", "edition 4")], rebuild=True)
        live = store.generations(collection)[0]
        assert live.name not in names, "readers know a generation by its name"

    def test_pruning_leaves_what_is_live(self, store: Store, collection: str) -> None:
        self.three(store, collection)
        previous = store.generations(collection)[1]
        assert store.prune(collection, keep=2) == []
        assert [g.name for g in store.prune(collection)] == [previous.name]
        assert [g.state for g in store.generations(collection)] == ["live"]
        assert self.texts(store, collection) == {"edition 3"}
        with pytest.raises(StoreError, match="no previous generation"):
            store.rollback(collection)

    def test_a_search_is_refused_where_other_models_made_what_is_live_now(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        expected = provenance("elsewhere")
        assert store.search(collection, encode_query("bitcoin"), [], EVERYTHING, expected=expected).candidates
        other = expected.model_copy(update={"embedder": "other"})
        with pytest.raises(ProvenanceMismatch, match="embedder: stored 'fake-embedder"):
            store.search(collection, encode_query("bitcoin"), [], EVERYTHING, expected=other)

    def test_the_writer_searches_what_is_not_published_yet(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, [HALVING])
        with store.write(collection, provenance(), NO_FILTERS, rebuild=True) as writer:
            writer.upsert(encode([MERGE], FakeEmbedder()))
            found = writer.search(encode_query("bitcoin"), [], EVERYTHING)
            assert names_of(found) == ["merge"]
            assert names_of(store.search(collection, encode_query("bitcoin"), [], EVERYTHING).candidates) == ["halving"]
            writer.upsert(encode([OUTAGE], FakeEmbedder()))  # a search ends nothing
            assert len(writer.search(encode_query("bitcoin"), [], EVERYTHING)) == 2
            writer.recall = Recall(value=0.5, top_k=20, queries=2, judgements="j")
        assert store.hashes(collection) == hashes_of([MERGE, OUTAGE])
        assert store.provenance(collection).recall == Recall(value=0.5, top_k=20, queries=2, judgements="j")


class TestSearch:
    def test_hybrid_puts_the_rare_word_first_where_dense_alone_does_not(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        # The fake embedder counts stop words, BM25 does not: only the second list knows what the query is about.
        write(store, collection, [passage("filler", "this is what it was for"), passage("rare", "a quokka sleeps")])
        query = encode_query("what was it for this is quokka")
        dense = store.search(collection, query, [], DENSE).candidates
        assert names_of(dense) == ["filler", "rare"]
        assert 1 > dense[0].score > dense[1].score > 0  # cosines
        assert names_of(store.search(collection, query, [], EVERYTHING).candidates) == ["rare", "filler"]

    def test_a_passage_that_is_first_in_both_lists_scores_twice_the_reciprocal_rank(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        first, second, _ = store.search(collection, encode_query("solana hours"), [], RRF).candidates
        assert first.passage == OUTAGE
        assert first.score == pytest.approx(2 / 60, abs=1e-6)
        assert second.score == pytest.approx(1 / 61, abs=1e-6)  # it shares no term: the dense list only

    @pytest.mark.parametrize("bm25_weight", [0.5, 3.0])
    def test_fusion_by_rank_weighs_the_bm25_list(
        self, store: Store, collection: str, encode_query: EncodeQuery, bm25_weight: float
    ) -> None:
        write(store, collection, CORPUS)
        query = encode_query("solana hours bitcoin")
        dense, sparse = (
            {c.passage.id: c.score for c in store.search(collection, query, [], one).candidates}
            for one in (DENSE, BM25)
        )
        weighted = RRF.model_copy(update={"bm25_weight": bm25_weight})
        found = {c.passage.id: c.score for c in store.search(collection, query, [], weighted).candidates}
        assert found == pytest.approx(fuse([dense, sparse], weighted), abs=1e-6)
        assert found != pytest.approx(fuse([dense, sparse], RRF), abs=1e-6)

    def test_fusion_by_score_places_scores_within_three_deviations_of_their_list(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        query = encode_query("solana hours")
        dense = [c.score for c in store.search(collection, query, [], DENSE).candidates]
        reach = 3 * stdev(dense)
        found = store.search(collection, query, [], EVERYTHING).candidates
        assert found[0].passage == OUTAGE
        # The others share no term: the dense list only.
        expected = [(score - fmean(dense) + reach) / (2 * reach) for score in dense[1:]]
        assert [c.score for c in found[1:]] == pytest.approx(expected, abs=1e-5)

    def test_bm25_alone_finds_only_what_shares_a_term(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, CORPUS)
        assert names_of(store.search(collection, encode_query("ethereum miners"), [], BM25).candidates) == [
            "merge",
            "halving",
        ]
        assert store.search(collection, encode_query("quokka"), [], BM25).candidates == []
        assert (
            store.search(collection, encode_query("what is the"), [], BM25).candidates == []
        )  # stop words: no term at all

    def test_top_k_bounds_the_candidates(self, store: Store, collection: str, encode_query: EncodeQuery) -> None:
        write(store, collection, CORPUS)
        found = store.search(collection, encode_query("miners"), [], RetrievalSettings(top_k=2, top_n=1)).candidates
        assert len(found) == 2
        assert found[0].score >= found[1].score

    @pytest.mark.parametrize("text", ["the of and", "?!", "nowhere"])
    def test_a_query_without_known_terms_is_answered_by_the_dense_list(
        self, store: Store, collection: str, encode_query: EncodeQuery, text: str
    ) -> None:
        write(store, collection, CORPUS)
        found = store.search(collection, encode_query(text), [], RRF).candidates
        assert {c.passage.id for c in found} == {p.id for p in CORPUS}
        by_score = store.search(collection, encode_query(text), [], EVERYTHING).candidates
        assert {c.passage.id for c in by_score} == {p.id for p in CORPUS}
        assert [c.score for c in found] == pytest.approx([1 / 60, 1 / 61, 1 / 62], abs=1e-6)

    def test_a_filter_holds_in_both_lists(self, store: Store, collection: str, encode_query: EncodeQuery) -> None:
        write(store, collection, CORPUS, schema=SCHEMA)
        only = [AnyOf(field="kind", values=("event",))]
        for settings in (EVERYTHING, DENSE):
            assert names_of(store.search(collection, encode_query("bitcoin halving"), only, settings).candidates) == [
                "merge"
            ]


FILTERED = [
    passage("plain", "apple", kind="guide", price=1, date="2026-01-31", note="Red Fox jumps"),
    passage("listed", "apple", kind="guide", tags=["defi", "layer 1"], price=2.0, date="2026-01-31T23:30:00-01:00"),
    passage("zoned", "apple", kind="Guide", tags=["defi"], price=2.5, date="2026-01-31T12:00:00+02:00"),
    passage("utc", "apple", kind="news|flash", price=-3, date="2026-01-31T23:59:59.999Z", note="fox, red; foxes"),
    passage("naive", "apple", kind="layer 1", tags="defi", date="2026-02-01T00:00:00", note="redfox"),
    passage("bare", "apple"),
    passage("none", "apple", kind=None, tags=[], price=None, date=None, note=None),
]

TYPED: list[tuple[str, set[str]]] = [
    ("kind=guide", {"plain", "listed"}),
    ("kind=Guide", {"zoned"}),
    ("kind=layer 1", {"naive"}),
    ("kind=layer", set()),
    ("kind=guide|layer 1|nothing", {"plain", "listed", "naive"}),
    ("tags=defi", {"listed", "zoned", "naive"}),
    ("tags=layer 1", {"listed"}),
    ("tags=layer 1|defi", {"listed", "zoned", "naive"}),
    ("price=2", {"listed"}),
    ("price>=2", {"listed", "zoned"}),
    ("price<=2", {"plain", "listed", "utc"}),
    ("price<=-3", {"utc"}),
    ("price>=2.5", {"zoned"}),
    ("price>=2.6", set()),
    ("date=2026-01-31", {"plain", "zoned", "utc"}),
    ("date<=2026-01-31", {"plain", "zoned", "utc"}),
    ("date>=2026-02-01", {"listed", "naive"}),
    ("date<=2026-01-31T00:00:00", {"plain"}),
    ("date=2026-01-31T10:00:00Z", {"zoned"}),
    ("date=2026-01-31T11:00:00+01:00", {"zoned"}),
    ("date>=2026-01-31T23:59:59.999Z", {"listed", "utc", "naive"}),
    ("date>=2026-02-01T00:30:00", {"listed"}),
    ("note=fox", {"plain", "utc"}),
    ("note=RED", {"plain", "utc"}),
    ("note=red fox", {"plain", "utc"}),
    ("note=fox jumps", {"plain"}),
    ("note=foxes", {"utc"}),
    ("note=fo", set()),
]

BUILT: list[tuple[Condition, set[str]]] = [
    (NumberRange(field="price", at_least=1, at_most=2), {"plain", "listed"}),
    (NumberRange(field="price", at_least=2, at_most=1), set()),
    (NumberRange(field="price"), {"plain", "listed", "zoned", "utc"}),
    (
        DateRange(field="date", start=parse_date("2026-01-31T10:00:00"), end=parse_date("2026-02-01T00:00:00Z")),
        {"zoned", "utc", "naive"},
    ),
    (DateRange(field="date"), {"plain", "listed", "zoned", "utc", "naive"}),
    (FullText(field="note", words="redfox"), {"naive"}),
]


@pytest.fixture(scope="module")
def filtered(shared_store: Store, site: str, encode_query: EncodeQuery) -> Filtered:
    """Names of the passages that meet the conditions."""
    collection = f"{site}/filtered"
    write(shared_store, collection, FILTERED, schema=SCHEMA)

    def search(*conditions: Condition) -> list[str]:
        return names_of(shared_store.search(collection, encode_query("apple"), conditions, EVERYTHING).candidates)

    return search


class TestFilters:
    @pytest.mark.parametrize(("text", "expected"), TYPED)
    def test_as_written_on_the_command_line(self, filtered: Filtered, text: str, expected: set[str]) -> None:
        assert set(filtered(parse_condition(text, SCHEMA))) == expected

    @pytest.mark.parametrize(("condition", "expected"), BUILT)
    def test_as_built_by_a_program(self, filtered: Filtered, condition: Condition, expected: set[str]) -> None:
        assert set(filtered(condition)) == expected

    @pytest.mark.parametrize(
        "text", ["kind=guide|Guide|news|flash|layer 1", "tags=defi", "price>=-1e9", "date>=1970-01-01", "note=fox"]
    )
    def test_a_missing_or_empty_field_never_matches(self, filtered: Filtered, text: str) -> None:
        found = set(filtered(parse_condition(text, SCHEMA)))
        assert found
        assert not found & {"bare", "none"}

    def test_conditions_hold_together(self, filtered: Filtered) -> None:
        conditions = [parse_condition(text, SCHEMA) for text in ("tags=defi", "price<=2.5", "date<=2026-01-31")]
        assert filtered(*conditions) == ["zoned"]

    def test_a_passage_written_later_is_filtered_too(
        self, store: Store, collection: str, encode_query: EncodeQuery
    ) -> None:
        write(store, collection, FILTERED, schema=SCHEMA)
        write(store, collection, [passage("later", "apple", price=7, note="late fox")], schema=SCHEMA)
        for text in ("price>=7", "note=late"):
            condition = parse_condition(text, SCHEMA)
            assert names_of(store.search(collection, encode_query("apple"), [condition], EVERYTHING).candidates) == [
                "later"
            ]


def varied_corpus() -> list[Passage]:
    """60 passages of 60 different lengths, so that neither list has ties."""
    chance = random.Random(7)
    return [passage(f"p{size}", " ".join(chance.choices(WORDS, k=size))) for size in range(4, 64)]


@pytest.fixture(scope="module")
def answers(
    shared_store: Store, reference: Store, exact_hybrid: Store, site: str, encode_query: EncodeQuery
) -> Answers:
    """Searches the varied corpus, which all three stores hold."""
    collection = f"{site}/varied"
    for store in (shared_store, reference, exact_hybrid):
        write(store, collection, varied_corpus(), rebuild=True)
    return lambda store, text, settings: store.search(collection, encode_query(text), [], settings).candidates


class TestSameAnswersEverywhere:
    @pytest.mark.parametrize(
        "text", ["apple", "bridge harbor", "zebra dragon ember copper", "the orchid of the planet"]
    )
    def test_dense_order(self, shared_store: Store, reference: Store, answers: Answers, text: str) -> None:
        found, expected = answers(shared_store, text, DENSE), answers(reference, text, DENSE)
        assert names_of(found) == names_of(expected)
        assert scores_of(found) == pytest.approx(scores_of(expected), abs=2e-6)

    @pytest.mark.parametrize("text", ["apple", "orchid", "the ember"])
    def test_hybrid_scores_of_one_term(
        self, shared_store: Store, reference: Store, answers: Answers, text: str
    ) -> None:
        # FakeStore has no inverse document frequency, so its order is the engines' for one term only.
        assert_same(answers(shared_store, text, EVERYTHING), answers(reference, text, EVERYTHING))

    @pytest.mark.parametrize("text", ["bridge harbor", "zebra dragon ember copper", "the orchid of the planet"])
    def test_hybrid_scores_of_several_terms(
        self, shared_store: Store, exact_hybrid: Store, answers: Answers, text: str
    ) -> None:
        if isinstance(shared_store, FakeStore):
            pytest.skip("FakeStore has no inverse document frequency: several terms are weighed alike")
        assert_same(answers(shared_store, text, EVERYTHING), answers(exact_hybrid, text, EVERYTHING))


def assert_same(found: Sequence[Candidate], expected: Sequence[Candidate]) -> None:
    """Equal scores and best first: equal order, but for passages that swap ranks between the two lists.

    Ranks 3 and 7 fuse to the same score as 7 and 3, and each store breaks that tie in its own way.
    """
    assert scores_of(found) == pytest.approx(scores_of(expected), abs=2e-6)
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)


def scores_of(candidates: Sequence[Candidate]) -> dict[str, float]:
    return {c.passage.document_id: c.score for c in candidates}

"""Under `as_of` the order is the same whether or not later events are stored: nobody could know of them."""

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from qdrant_double import QdrantDouble, serve_rest

from overfetch.environment import ServerSettings
from overfetch.errors import StoreError
from overfetch.filters import AnyOf, KnownBy, Schema, comparable, parse_date
from overfetch.indexing import encode
from overfetch.protocols import EncodedQuery, Store
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder
from overfetch.types import Chunk, Document, Passage

EncodeQuery = Callable[[str], EncodedQuery]

SCHEMA: Schema = {"at": "date", "kind": "keyword"}
TODAY = parse_date("2026-01-01")
KNOWN = KnownBy(field="at", end=TODAY)
WORDS = (
    "halving",
    "merge",
    "outage",
    "fork",
    "miner",
    "bridge",
    "ledger",
    "oracle",
    "token",
    "wallet",
    "yield",
    "vault",
)
WAYS = [
    RetrievalSettings.model_validate({"top_k": 8, "top_n": 5, **way})
    for way in ({}, {"fusion": "rrf"}, {"first_stage": "bm25"}, {"first_stage": "dense"})
]


def make_event(name: str, text: str, days: int, kind: str = "event") -> Passage:
    metadata = {"at": (TODAY + timedelta(days=days)).isoformat(), "kind": kind}
    passage = Passage.of(Document(id=name, title="", text=text, metadata=metadata), 0, Chunk(breadcrumb="", text=text))
    return passage.model_copy(update={"filters": comparable(passage.metadata, SCHEMA)})


def events(chance: random.Random, count: int, *, later: bool) -> list[Passage]:
    """Later ones use few words often, which makes those common."""
    words = chance.sample(WORDS, 3) if later else WORDS
    first, last = (1, 400) if later else (-400, -1)
    return [
        make_event(
            f"{'later' if later else 'past'}-{n}",
            " ".join(chance.choices(words, k=chance.randint(3, 12))),
            chance.randint(first, last),
            chance.choice(["event", "rumour"]),
        )
        for n in range(count)
    ]


def write(store: Store, name: str, passages: list[Passage]) -> None:
    with store.write(name, Provenance.of(FakeEmbedder().spec, "contract/1", "events"), SCHEMA) as writer:
        writer.upsert(encode(passages, FakeEmbedder()))


def order(
    store: Store, name: str, query: EncodedQuery, settings: RetrievalSettings, *conditions: AnyOf
) -> list[tuple[str, object]]:
    found = store.search(name, query, [KNOWN, *conditions], settings).candidates
    best_first = sorted(found, key=lambda c: (-c.score, c.passage.id))
    return [(c.passage.document_id, pytest.approx(c.score, abs=1e-5)) for c in best_first]


@pytest.mark.parametrize("seed", range(2))
def test_later_events_move_nothing(store: Store, collection: str, encode_query: EncodeQuery, seed: int) -> None:
    chance = random.Random(seed)
    past, later = events(chance, 40, later=False), events(chance, 60, later=True)
    mixed = list(past)  # in the order in which they came: where scores tie, stores go by place
    for event in later:
        mixed.insert(chance.randint(0, len(mixed)), event)
    write(store, collection, past)
    write(store, f"{collection}-and-later", mixed)
    differing = []
    for _ in range(20):
        text = " ".join(chance.sample(WORDS, chance.randint(1, 3)))
        for settings in WAYS:
            for only in ((), (AnyOf(field="kind", values=("event",)),)):
                query = encode_query(text)
                now = order(store, collection, query, settings, *only)
                if now != order(store, f"{collection}-and-later", query, settings, *only):
                    differing.append((text, settings.first_stage, settings.fusion))
    assert not differing, f"{len(differing)} of 160 searches differ: {differing[:5]}"


def test_a_word_that_becomes_common_later_weighs_what_it_weighed(
    store: Store, collection: str, encode_query: EncodeQuery
) -> None:
    past = [make_event("halving", "the halving came", -9), *(make_event(f"p{n}", "quiet day", -8) for n in range(20))]
    write(store, collection, past)
    query, settings = encode_query("halving"), RetrievalSettings(first_stage="bm25")
    (before,) = order(store, collection, query, settings)
    write(store, collection, [make_event(f"l{n}", "halving again", 9) for n in range(40)])
    assert order(store, collection, query, settings) == [before]


@pytest.mark.parametrize("version", ["1.18.3", "v1.9.0"])
def test_an_older_server_is_told_from_one_that_counts_what_was_known(encode_query: EncodeQuery, version: str) -> None:
    double = QdrantDouble()
    double.version = version
    with serve_rest(double) as address:
        store = ServerStore(address, ServerSettings())
        write(store, "old/events", [make_event("halving", "the halving came", -9)])
        query = encode_query("halving")
        with pytest.raises(StoreError, match=rf"is {version}: as_of over BM25.* needs 1\.19"):
            order(store, "old/events", query, RetrievalSettings())
        assert order(store, "old/events", query, RetrievalSettings(first_stage="dense"))
        assert store.search("old/events", query, [], RetrievalSettings()).candidates
        store.close()

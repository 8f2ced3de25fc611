"""The server adapter on the wire: retries, TLS, the layout of collections, uploads and threads, over HTTP and gRPC."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme
from qdrant_client import models
from qdrant_double import Fault, QdrantDouble, serve_rest
from qdrant_double_grpc import serve_grpc

from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.environment import ServerSettings
from overfetch.errors import SettingsError, StoreError, StoreUnavailable
from overfetch.filters import AnyOf, Schema
from overfetch.indexing import encode, to_passages
from overfetch.protocols import EncodedPassage, EncodedQuery
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site
from overfetch.sparse import embed_sparse_query
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder, FakeReranker
from overfetch.types import Chunk, Document

NAME, SERVER_NAME = "site/notes", "site--notes--000001"
SERVED = {"rest": serve_rest, "grpc": serve_grpc}
SCHEMA: Schema = {"kind": "keyword"}
NOTES = Collection(
    name="notes",
    sample=Path("nowhere"),
    fields=FieldMap(metadata={"kind": ("kind",)}),
    chunk=lambda document: [Chunk(breadcrumb="", text=document.text)],
    chunker="note/1",
    filters=dict(SCHEMA),
    answering="nowhere:none",
)

Open = Callable[..., ServerStore]


@pytest.fixture
def double() -> QdrantDouble:
    return QdrantDouble()


@pytest.fixture(params=SERVED)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opening(double: QdrantDouble) -> Iterator[Callable[..., ServerStore]]:
    """Opens stores on the double by protocol; closes them and the servers after the test."""
    with ExitStack() as stack:

        def open_by(protocol: str, **settings: Any) -> ServerStore:
            address = stack.enter_context(SERVED[protocol](double))
            store = ServerStore(address, ServerSettings(**settings))
            stack.callback(store.close)
            return store

        yield open_by


@pytest.fixture
def open_store(opening: Callable[..., ServerStore], protocol: str) -> Open:
    return lambda **settings: opening(protocol, **settings)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the retries would have slept; nobody does."""
    found: list[float] = []
    monkeypatch.setattr("overfetch.stores.server_connection.sleep_using_event", lambda event: found.append)
    return found


def provenance() -> Provenance:
    return Provenance.of(FakeEmbedder().spec, "note/1", "notes")


def encoded(*texts: str) -> list[EncodedPassage]:
    documents = [Document(id=text, title="", text=text, metadata={"kind": "note"}) for text in texts]
    return encode([p for d in documents for p in to_passages(NOTES, d)], FakeEmbedder())


def write(store: ServerStore, *texts: str, rebuild: bool = False) -> None:
    with store.write(NAME, provenance(), SCHEMA, rebuild=rebuild) as writer:
        writer.upsert(encoded(*texts))


def search(store: ServerStore, text: str, **settings: Any) -> list[str]:
    query = EncodedQuery(FakeEmbedder().embed_queries([text])[0], embed_sparse_query(text))
    only = [AnyOf(field="kind", values=("note",))]
    return [c.passage.text for c in store.search(NAME, query, only, RetrievalSettings(**settings)).candidates]


def add(store: ServerStore) -> None:
    write(store, "zero", "added")


def remove(store: ServerStore) -> None:
    with store.write(NAME, provenance(), SCHEMA) as writer:
        writer.delete([p.passage.id for p in encoded("added")])


def rebuild(store: ServerStore) -> None:
    write(store, "zero", rebuild=True)


# A part of each request that may be sent twice, and what sends it.
REPEATABLE: list[tuple[str, Callable[[ServerStore], object]]] = [
    ("GET /aliases", lambda store: store.count(NAME)),
    ("points/count", lambda store: store.count(NAME)),
    ("points/query", lambda store: search(store, "zero")),
    ("points/scroll", lambda store: store.hashes(NAME)),
    ("GET /collections/site--notes--0", lambda store: store.provenance(NAME)),
    ("/index", add),
    ("/points", add),
    ("PATCH /collections/", add),
    ("points/delete", remove),
    ("POST /collections/aliases", rebuild),
    ("DELETE /collections/", rebuild),
]
FAULTS = {
    "busy": Fault(429),
    "unavailable": Fault(503),
    "reset before the work": Fault(reset="before"),
    "reset after the work": Fault(reset="after"),
}


class TestRetries:
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    def test_what_may_be_done_twice_is_asked_again(
        self, double: QdrantDouble, open_store: Open, waits: list[float], fault: Fault
    ) -> None:
        store = open_store()
        write(store, "zero")
        for matching, action in REPEATABLE:
            double.faults.extend([fault._replace(matching=matching)] * 3)
            waits.clear()
            action(store)
            assert not double.faults, f"{matching} was not asked four times"
            assert len(waits) == 3
        assert search(store, "zero") == ["zero"]

    def test_a_new_collection_is_asked_for_again_where_the_server_did_not_take_it(
        self, double: QdrantDouble, open_store: Open, waits: list[float]
    ) -> None:
        double.faults.extend([Fault(429, matching=f"PUT /collections/{SERVER_NAME}")] * 2)
        store = open_store()
        write(store, "zero")
        assert (len(waits), search(store, "zero")) == (2, ["zero"])

    @pytest.mark.parametrize("reset", ["before", "after"])
    def test_a_new_collection_is_not_asked_for_twice_where_it_may_be_there(
        self, double: QdrantDouble, open_store: Open, waits: list[float], reset: Any
    ) -> None:
        store = open_store()
        write(store, "zero")
        double.faults.append(Fault(reset=reset, matching="PUT /collections/site--notes--000002"))
        with pytest.raises(StoreUnavailable):
            rebuild(store)
        assert (waits, search(store, "zero")) == ([], ["zero"])
        rebuild(store)  # under the next name, if that one is taken
        assert search(store, "zero") == ["zero"]

    def test_a_server_that_stays_busy_is_given_up(
        self, double: QdrantDouble, open_store: Open, waits: list[float], caplog: pytest.LogCaptureFixture
    ) -> None:
        store = open_store(retries=4)
        double.faults.extend([Fault(503)] * 20)
        with caplog.at_level(logging.WARNING), pytest.raises(StoreUnavailable, match=store.connection.address):
            store.count(NAME)
        assert len(double.faults) == 15
        assert len(waits) == len(caplog.records) == 4
        assert all(0 <= wait <= 0.1 * 2**n for n, wait in enumerate(waits))
        assert "trying again in" in caplog.text

    def test_no_retries_are_a_choice(self, double: QdrantDouble, open_store: Open, waits: list[float]) -> None:
        double.faults.extend([Fault(503)] * 2)
        with pytest.raises(StoreUnavailable):
            open_store(retries=0).count(NAME)
        assert (len(double.faults), waits) == (1, [])

    def test_the_server_says_how_long_to_wait(self, double: QdrantDouble, open_store: Open, waits: list[float]) -> None:
        store = open_store()
        write(store, "zero")
        double.faults.append(Fault(429, {"Retry-After": "7"}))
        assert search(store, "zero") == ["zero"]
        assert 7 <= waits[0] <= 7.1

    @pytest.mark.parametrize("seconds", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
    def test_nobody_waits_for_an_hour(
        self, double: QdrantDouble, opening: Callable[..., ServerStore], waits: list[float], seconds: str
    ) -> None:
        double.faults.extend([Fault(429, {"Retry-After": seconds})] * 2)
        with pytest.raises(StoreUnavailable) as raised:
            opening("rest").count(NAME)
        assert (len(double.faults), waits) == (1, [])
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500])
    def test_a_refusal_is_no_reason_to_ask_again(
        self, double: QdrantDouble, opening: Callable[..., ServerStore], waits: list[float], status: int
    ) -> None:
        double.faults.extend([Fault(status)] * 2)
        with pytest.raises(StoreError, match="refused work on 'site/notes'"):
            opening("rest").count(NAME)
        assert (len(double.faults), waits) == (1, [])

    def test_a_late_answer_is_no_reason_to_ask_again(
        self, double: QdrantDouble, open_store: Open, waits: list[float]
    ) -> None:
        store = open_store(timeout_s=1)
        with double.lock, pytest.raises(StoreUnavailable, match="OVERFETCH_QDRANT_TIMEOUT_S"):
            store.count(NAME)
        assert waits == []

    def test_a_channel_soon_finds_a_server_that_comes_back(self, double: QdrantDouble) -> None:
        with serve_grpc(double) as address:
            store = ServerStore(address, ServerSettings(retries=0))
            write(store, "zero")
        for _ in range(12):  # three seconds: by default a channel would look again after two more
            with pytest.raises(StoreUnavailable):
                store.count(NAME)
            time.sleep(0.25)
        with serve_grpc(double, port=int(address.rpartition(":")[2])):
            time.sleep(1.5)
            assert search(store, "zero") == ["zero"]
            store.close()

    async def test_a_caller_who_leaves_ends_the_retries(self, double: QdrantDouble, open_store: Open) -> None:
        store = open_store(retries=1000)
        write(store, "zero")
        double.faults.extend([Fault(503)] * 1000)
        task = asyncio.create_task(open_engine(store).search_async("notes", "zero"))
        while len(double.faults) == 1000:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.get_running_loop().shutdown_default_executor()  # waits for the thread
        assert len(double.faults) > 980


def open_engine(store: ServerStore) -> Engine:
    site = Site(name="site", title="Site", collections=(NOTES,), ask="notes")
    return Engine(site, embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)


class TestEncryption:
    @pytest.fixture
    def authority(self) -> trustme.CA:
        return trustme.CA()

    @pytest.fixture
    def address(self, authority: trustme.CA, double: QdrantDouble, protocol: str, tmp_path: Path) -> Iterator[str]:
        issued = authority.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
        issued.private_key_pem.write_to_path(tmp_path / "server.key")
        with SERVED[protocol](double, (tmp_path / "server.pem", tmp_path / "server.key")) as address:
            yield address

    def test_an_authority_of_ones_own(
        self, authority: trustme.CA, address: str, double: QdrantDouble, tmp_path: Path
    ) -> None:
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        store = ServerStore(address, ServerSettings(tls_ca=tmp_path / "ca.pem", api_key="secret"))
        write(store, "zero")
        assert search(store, "zero") == ["zero"]
        assert {received.headers["api-key"] for received in double.received} == {"secret"}
        store.close()

    @pytest.mark.parametrize("known", [False, True])
    def test_a_stranger_gets_nothing(
        self, address: str, double: QdrantDouble, tmp_path: Path, waits: list[float], known: bool
    ) -> None:
        trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
        tls_ca = tmp_path / "other.pem" if known else None
        store = ServerStore(address, ServerSettings(tls_ca=tls_ca, api_key="secret", retries=0))
        with pytest.raises(StoreUnavailable):
            store.count(NAME)
        assert double.received == []
        store.close()

    @pytest.mark.parametrize("content", [None, b"", b"no certificate", b"\xff\xfe"])
    @pytest.mark.parametrize("scheme", ["https", "grpcs"])
    def test_a_file_without_certificates_is_a_bad_setting(
        self, tmp_path: Path, scheme: str, content: bytes | None
    ) -> None:
        path = tmp_path / "ca.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(SettingsError, match=r"OVERFETCH_QDRANT_TLS_CA: .*ca\.pem"):
            ServerStore(f"{scheme}://127.0.0.1:1", ServerSettings(tls_ca=path))


class TestWhatIsAsked:
    """The requests as qdrant-client's models read them on the other side."""

    def test_a_collection_without_settings_leaves_everything_to_the_server(
        self, double: QdrantDouble, open_store: Open
    ) -> None:
        write(open_store(), "zero")
        assert asked(double, "PUT", f"/collections/{SERVER_NAME}") == {
            "vectors": {"dense": {"size": 64, "distance": "Cosine"}},
            "sparse_vectors": {"bm25": {"modifier": "idf"}},
            "metadata": {"overfetch": provenance().model_dump() | {"created": double_created(double)}},
        }

    @pytest.mark.parametrize(
        ("quantisation", "config"),
        [("int8", {"scalar": {"type": "int8", "always_ram": True}}), ("binary", {"binary": {"always_ram": True}})],
    )
    def test_every_setting_of_the_layout_arrives(
        self, double: QdrantDouble, open_store: Open, quantisation: str, config: dict[str, Any]
    ) -> None:
        store = open_store(
            **{"shards": 6, "replicas": 3, "write_consistency": 2, "quantisation": quantisation, "oversampling": 3},
            **{"on_disk_vectors": True, "on_disk_payload": True},
        )
        write(store, "zero")
        layout = asked(double, "PUT", f"/collections/{SERVER_NAME}")
        assert layout["vectors"]["dense"] == {"size": 64, "distance": "Cosine", "on_disk": True}
        assert (layout["shard_number"], layout["replication_factor"], layout["write_consistency_factor"]) == (6, 3, 2)
        assert (layout["on_disk_payload"], layout["quantization_config"]) == (True, config)

    def test_quantised_vectors_fetch_more_and_the_originals_order_them(
        self, double: QdrantDouble, open_store: Open
    ) -> None:
        store = open_store(quantisation="int8", oversampling=3)
        write(store, "zero")
        params = {"quantization": {"ignore": False, "rescore": True, "oversampling": 3.0}}
        search(store, "zero", first_stage="dense")
        assert with_quantization(asked(double, "POST", "points/query")["params"]) == params
        search(store, "zero")
        dense, sparse = asked(double, "POST", "points/query")["prefetch"]
        assert with_quantization(dense["params"]) == params
        assert "params" not in sparse
        search(store, "zero", first_stage="bm25")
        assert "params" not in asked(double, "POST", "points/query")

    def test_every_declared_field_gets_an_index_in_old_collections_too(
        self, double: QdrantDouble, open_store: Open
    ) -> None:
        store = open_store()
        write(store, "zero")
        later: Schema = {"kind": "keyword", "price": "number", "date": "date", "note": "text"}
        with store.write(NAME, provenance(), later):
            pass
        assert {name: kind.value for name, kind in double.indexes[SERVER_NAME].items()} == {
            "filters.kind": "keyword",
            "filters.price": "float",
            "filters.date": "datetime",
            "filters.note": "keyword",
            "bucket": "integer",
        }


def asked(double: QdrantDouble, method: str, ending: str) -> dict[str, Any]:
    """The last such request, without what it leaves open."""
    dumped: dict[str, Any] = double.paths(method, ending)[-1].model.model_dump(mode="json", exclude_none=True)
    return dumped


def with_quantization(params: dict[str, Any]) -> dict[str, Any]:
    """Without the defaults that the models add."""
    return {"quantization": params["quantization"]}


def double_created(double: QdrantDouble) -> str:
    """Stored when the provenance was made, a moment before the test makes its own."""
    return str(asked(double, "PUT", f"/collections/{SERVER_NAME}")["metadata"]["overfetch"]["created"])


class TestSwap:
    def test_a_rebuild_waits_until_the_server_has_its_indexes(
        self, double: QdrantDouble, open_store: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("overfetch.stores.server.INDEX_POLL_S", 0.0)
        double.statuses.extend([models.CollectionStatus.YELLOW] * 3)
        store = open_store()
        write(store, "zero")
        new, aliases = f"/collections/{SERVER_NAME}", "/collections/aliases"
        looked = [(r.method, r.path) for r in double.received if r.path in (new, aliases)]
        # Created, asked four times, told what it holds, published; then listed with what may be removed.
        until_published = [("PUT", new), *[("GET", new)] * 4, ("PATCH", new), ("POST", aliases)]
        assert looked == [*until_published, ("GET", new)]

    def test_what_the_server_cannot_index_is_not_published(self, double: QdrantDouble, open_store: Open) -> None:
        store = open_store()
        write(store, "zero")
        # The first to look reads the provenance of what is published.
        double.statuses.extend([models.CollectionStatus.GREEN, models.CollectionStatus.RED])
        with pytest.raises(StoreError, match="cannot index 'site--notes--000002'"):
            write(store, "one", rebuild=True)
        assert search(store, "zero") == ["zero"]
        assert [c.name for c in double.engine.get_collections().collections] == [SERVER_NAME]


class TestUploads:
    def test_requests_are_bounded_and_several_run_at_once(
        self, double: QdrantDouble, opening: Callable[..., ServerStore]
    ) -> None:
        store = opening("rest", upload_batch=10, upload_threads=3)
        texts = [f"note {n}" for n in range(95)]
        write(store, *texts)
        sizes = sorted(len(r.model.points) for r in double.paths("PUT", "/points"))
        assert sizes == [5, *[10] * 9]
        assert 1 < double.most_at_once <= 3
        assert store.hashes(NAME) == {p.passage.id: p.passage.content_hash for p in encoded(*texts)}

    def test_large_deletions_are_bounded_too(self, double: QdrantDouble, open_store: Open) -> None:
        store = open_store()
        write(store, "zero")
        with store.write(NAME, provenance(), SCHEMA) as writer:
            writer.delete([f"00000000-0000-0000-0000-{n:012}" for n in range(2500)])
        assert [len(r.model.points) for r in double.paths("POST", "/points/delete")] == [1024, 1024, 452]

    def test_one_failing_request_fails_the_run_and_the_next_one_completes_it(
        self, double: QdrantDouble, open_store: Open
    ) -> None:
        store = open_store(upload_batch=10)
        write(store, "zero")
        texts = [f"note {n}" for n in range(50)]
        double.faults.append(Fault(400, matching=f"PUT /collections/{SERVER_NAME}/points"))
        with pytest.raises(StoreError, match="refused"):
            write(store, *texts)
        assert 1 < store.count(NAME) < 51
        write(store, *texts)
        assert store.count(NAME) == 51


class TestManyCallers:
    def test_threads_share_one_store_from_its_first_use_on(self, open_store: Open) -> None:
        write(open_store(), *WORDS)
        store, threads = open_store(), 8
        barrier = threading.Barrier(threads)

        def work(number: int) -> list[list[str]]:
            barrier.wait()
            return [search(store, WORDS[(number + n) % len(WORDS)], top_k=1, top_n=1) for n in range(10)]

        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(work, range(threads)))
        assert found == [[[WORDS[(number + n) % len(WORDS)]] for n in range(10)] for number in range(threads)]

    def test_searches_during_rebuilds_see_one_generation_and_never_an_error(self, open_store: Open) -> None:
        store, writing, done = open_store(), open_store(), threading.Event()
        write(writing, *(f"{word} 0" for word in WORDS))

        def work() -> list[set[str]]:
            found = []
            while not done.is_set():
                found.append({text.split()[1] for text in search(store, "apple bridge")})
            return found

        with ThreadPoolExecutor(4) as pool:
            searching = [pool.submit(work) for _ in range(4)]
            for number in range(1, 13):
                write(writing, *(f"{word} {number}" for word in WORDS), rebuild=True)
            done.set()
            found = [numbers for future in searching for numbers in future.result()]
        assert {len(numbers) for numbers in found} == {1}
        assert len({number for numbers in found for number in numbers}) > 3

    async def test_the_event_loop_runs_on_while_the_server_thinks(self, double: QdrantDouble, open_store: Open) -> None:
        store = open_store()
        write(store, *WORDS)
        with open_engine(store) as engine:
            with double.lock:
                tasks = [asyncio.create_task(engine.search_async("notes", word)) for word in WORDS]
                began = time.monotonic()
                for _ in range(50):
                    await asyncio.sleep(0)
                assert time.monotonic() - began < 1  # the server answers nobody meanwhile
                assert not any(task.done() for task in tasks)
            found = await asyncio.gather(*tasks)
        assert [retrieval.hits[0].passage.text for retrieval in found] == list(WORDS)


WORDS = ("apple", "bridge", "candle", "desert", "engine", "forest", "garden", "harbor")


class TestTheDoubleItself:
    """A double that takes everything would prove nothing."""

    def test_it_refuses_unknown_fields(self, double: QdrantDouble, opening: Callable[..., ServerStore]) -> None:
        store = opening("rest")
        write(store, "zero")
        body = {"limit": 1, "speed": "high"}
        for path in ("points/query", "points/scroll", "points/count"):
            response = store.client.http.client._client.post(
                f"{store.connection.address}/collections/x/{path}", json=body
            )
            assert response.status_code == 422
            assert "Extra inputs are not permitted" in response.text

    def test_it_refuses_filters_without_an_index(self, open_store: Open) -> None:
        store = open_store()
        with store.write(NAME, provenance(), {}) as writer:
            writer.upsert(encoded("zero"))
        with pytest.raises(StoreError, match=r'Index required but not found for "filters\.kind"'):
            search(store, "zero")

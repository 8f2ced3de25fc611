"""What is special to the adapter of qdrant-client: aliases, foreign collections, and servers that do not answer."""

import logging
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from qdrant_client import QdrantClient, models

from overfetch.backends import open_store
from overfetch.environment import Environment, ServerSettings
from overfetch.errors import SettingsError, StoreError, StoreUnavailable
from overfetch.filters import Schema
from overfetch.indexing import encode
from overfetch.partitions import Partition
from overfetch.protocols import EncodedQuery
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder
from overfetch.types import Chunk, Document, Passage

NAME, ALIAS = "site/notes", "site--notes"
PREVIOUS = f"{ALIAS}@previous"
SCHEMA: Schema = {"kind": "keyword", "price": "number", "date": "date", "note": "text"}
SECONDS = 5.0


@pytest.fixture
def store() -> Iterator[ServerStore]:
    opened = ServerStore(":memory:", ServerSettings())
    yield opened
    opened.close()


def provenance() -> Provenance:
    return Provenance.of(FakeEmbedder().spec, "note/1", "notes")


def notes(*texts: str) -> list[Passage]:
    chunks = [Chunk(breadcrumb="", text=text, metadata={"kind": "note"}) for text in texts]
    return [Passage.of(Document(id=chunk.text, title="Note", text=chunk.text), 0, chunk) for chunk in chunks]


def write(store: ServerStore, *texts: str, rebuild: bool = False) -> None:
    with store.write(NAME, provenance(), SCHEMA, rebuild=rebuild) as writer:
        writer.upsert(encode(notes(*texts), FakeEmbedder()))


def query(text: str) -> EncodedQuery:
    return EncodedQuery(FakeEmbedder().embed_queries([text])[0], embed_sparse_query(text))


def search(store: ServerStore, text: str) -> list[str]:
    return [c.passage.text for c in store.search(NAME, query(text), [], RetrievalSettings()).candidates]


def write_half(store: ServerStore, text: str, made: Provenance | None = None) -> None:
    with store.write(NAME, made or provenance(), SCHEMA, rebuild=True) as writer:
        writer.upsert(encode(notes(text), FakeEmbedder()))
        _ = 1 // 0


def aliases(client: QdrantClient) -> dict[str, str]:
    return {a.alias_name: a.collection_name for a in client.get_aliases().aliases}


def collections(client: QdrantClient) -> list[str]:
    return sorted(c.name for c in client.get_collections().collections)


def make_foreign(client: QdrantClient, name: str) -> None:
    """A collection such as another program makes."""
    client.create_collection(name, vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT))
    client.upsert(name, [models.PointStruct(id=1, vector=[1.0, 0.0, 0.0, 0.0])])


class TestAliases:
    def test_a_rebuild_moves_the_alias_and_keeps_the_previous_collection(self, store: ServerStore) -> None:
        write(store, "first")
        assert aliases(store.client) == {ALIAS: f"{ALIAS}--000001"}
        write(store, "second", rebuild=True)
        assert aliases(store.client) == {ALIAS: f"{ALIAS}--000002", PREVIOUS: f"{ALIAS}--000001"}
        assert search(store, "first") == ["second"]
        write(store, "third", rebuild=True)
        assert aliases(store.client) == {ALIAS: f"{ALIAS}--000003", PREVIOUS: f"{ALIAS}--000002"}
        assert collections(store.client) == [f"{ALIAS}--000002", f"{ALIAS}--000003"]

    def test_a_compatible_change_goes_in_place(self, store: ServerStore) -> None:
        write(store, "first")
        write(store, "second")
        assert aliases(store.client) == {ALIAS: f"{ALIAS}--000001"}
        assert sorted(search(store, "first")) == ["first", "second"]

    def test_searches_see_the_old_collection_until_a_rebuild_is_done(self, store: ServerStore) -> None:
        write(store, "first")
        with store.write(NAME, provenance(), SCHEMA, rebuild=True) as writer:
            writer.upsert(encode(notes("second"), FakeEmbedder()))
            assert search(store, "second") == ["first"]
        assert search(store, "second") == ["second"]

    def test_a_failed_rebuild_that_wrote_nothing_leaves_nothing_behind(self, store: ServerStore) -> None:
        write(store, "first")
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), store.write(NAME, provenance(), SCHEMA, rebuild=True):
                _ = 1 // 0
        assert collections(store.client) == [f"{ALIAS}--000001"]

    def test_a_rebuild_that_failed_half_way_is_taken_up_again(self, store: ServerStore) -> None:
        write(store, "first")
        with pytest.raises(ZeroDivisionError):
            write_half(store, "second")
        assert [g.state for g in store.generations(NAME)] == ["live", "unfinished"]
        assert search(store, "first") == ["first"]
        with store.write(NAME, provenance(), SCHEMA, rebuild=True) as writer:
            assert len(writer.hashes()) == 1
        assert search(store, "second") == ["second"]
        assert [g.state for g in store.generations(NAME)] == ["live", "previous"]

    def test_a_rebuild_that_is_refused_twice_is_kept_twice(self, store: ServerStore) -> None:
        """As where the gate refuses it: the second run has nothing left to write."""
        write(store, "first")
        with pytest.raises(ZeroDivisionError):
            write_half(store, "second")
        for _ in range(2):
            with pytest.raises(ZeroDivisionError), store.write(NAME, provenance(), SCHEMA, rebuild=True):
                _ = 1 // 0
        assert [g.state for g in store.generations(NAME)] == ["live", "unfinished"]
        with store.write(NAME, provenance(), SCHEMA, rebuild=True) as writer:
            assert len(writer.hashes()) == 1
        assert search(store, "second") == ["second"]

    def test_a_partition_does_not_publish_what_another_kind_of_run_left(self, store: ServerStore) -> None:
        other = provenance().model_copy(update={"chunker": "another/1"})
        with pytest.raises(ZeroDivisionError):
            write_half(store, "unfinished", made=other)
        for number in (1, 2):
            part = store.only(Partition(number=number, count=2))
            with part.write(NAME, provenance(), SCHEMA) as partial:
                mine = [p for p in notes("a", "b", "c", "d") if part.partition and part.partition.holds(p.document_id)]
                partial.upsert(encode(mine, FakeEmbedder()))
        assert aliases(store.client) == {ALIAS: f"{ALIAS}--000002"}
        assert sorted(search(store, "a")) == ["a", "b", "c", "d"]
        assert store.provenance(NAME).chunker == provenance().chunker

    def test_what_another_kind_of_run_left_goes_with_the_next_swap(self, store: ServerStore) -> None:
        write(store, "first")
        with pytest.raises(ZeroDivisionError):
            write_half(store, "second")
        other = provenance().model_copy(update={"chunker": "another/1"})
        with store.write(NAME, other, SCHEMA, rebuild=True) as writer:
            assert writer.hashes() == {}
        assert collections(store.client) == [f"{ALIAS}--000001", f"{ALIAS}--000003"]

    def test_a_name_left_by_a_killed_rebuild_is_not_taken_again(self, store: ServerStore) -> None:
        write(store, "first")
        make_foreign(store.client, f"{ALIAS}--000004")
        write(store, "second", rebuild=True)
        assert aliases(store.client)[ALIAS] == f"{ALIAS}--000005"
        assert f"{ALIAS}--000004" in collections(store.client), "what another program made is not ours to remove"
        assert [g.name for g in store.generations(NAME)] == [f"{ALIAS}--000005", f"{ALIAS}--000001"]

    def test_a_name_that_begins_alike_is_another_collection(self, store: ServerStore) -> None:
        make_foreign(store.client, f"{ALIAS}--more--000009")
        write(store, "first")
        assert aliases(store.client) == {ALIAS: f"{ALIAS}--000001"}


class TestForeignCollections:
    """Collections that Overfetch did not make are neither read nor replaced."""

    @pytest.mark.parametrize("rebuild", [False, True])
    def test_a_collection_of_that_name(self, store: ServerStore, rebuild: bool) -> None:
        make_foreign(store.client, ALIAS)
        with pytest.raises(StoreError, match=f":memory:: collection '{ALIAS}' was not made by Overfetch"):
            store.provenance(NAME)
        with pytest.raises(StoreError, match="was not made by Overfetch"):
            write(store, "first", rebuild=rebuild)
        assert collections(store.client) == [ALIAS]
        assert store.client.count(ALIAS).count == 1

    @pytest.mark.parametrize("rebuild", [False, True])
    def test_an_alias_of_that_name(self, store: ServerStore, rebuild: bool) -> None:
        make_foreign(store.client, "theirs")
        alias = models.CreateAlias(collection_name="theirs", alias_name=ALIAS)
        store.client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
        with pytest.raises(StoreError, match="was not made by Overfetch"):
            store.provenance(NAME)
        with pytest.raises(StoreError, match="was not made by Overfetch"):
            write(store, "first", rebuild=rebuild)
        assert aliases(store.client) == {ALIAS: "theirs"}
        assert store.client.count("theirs").count == 1


class TestUnreachable:
    @pytest.mark.parametrize("scheme", ["http", "grpc"])
    def test_nobody_listens(self, scheme: str) -> None:
        address = f"{scheme}://127.0.0.1:{closed_port()}"
        store = ServerStore(address, ServerSettings(retries=0))
        began = time.monotonic()
        assert_unavailable(lambda: store.provenance(NAME), address)
        assert_unavailable(lambda: store.hashes(NAME), address)
        assert_unavailable(lambda: store.count(NAME), address)
        assert_unavailable(lambda: store.search(NAME, query("x"), [], RetrievalSettings()).candidates, address)
        assert_unavailable(lambda: write(store, "first"), address)
        assert time.monotonic() - began < SECONDS
        store.close()

    def test_nothing_is_asked_before_the_first_use(self) -> None:
        ServerStore(f"http://127.0.0.1:{closed_port()}", ServerSettings()).close()

    @pytest.mark.parametrize("address", ["grpc://host:port", "grpc://host:6334:1", "http://host:port"])
    def test_a_bad_port_is_a_bad_setting(self, address: str) -> None:
        with pytest.raises(SettingsError, match=f"bad address '{address}'"):
            ServerStore(address, ServerSettings())

    def test_the_setting_picks_this_store(self) -> None:
        address = f"http://127.0.0.1:{closed_port()}"
        store = open_store(Environment(qdrant=address))
        assert_unavailable(lambda: store.count(NAME), address)
        store.close()


class TestAnswersOfServers:
    def test_a_refusal_is_one_line(self, answering: HTTPServer) -> None:
        address = answer_with(answering, 403, "forbidden:\nbad key")
        store = ServerStore(address, ServerSettings())
        with pytest.raises(StoreError, match=r"refused work on 'site/notes': .*403 \(Forbidden\)") as raised:
            store.count(NAME)
        assert not isinstance(raised.value, StoreUnavailable)
        assert "\n" not in str(raised.value)
        store.close()

    @pytest.mark.parametrize("body", ["<html>\n<title>It works!</title>\n</html>", "{}", '{"result": {"aliases": 1}}'])
    def test_a_server_of_another_kind_is_one_line_too(self, answering: HTTPServer, body: str) -> None:
        address = answer_with(answering, 200, body)
        store = ServerStore(address, ServerSettings())
        assert_unavailable(lambda: store.count(NAME), address)
        store.close()


class TestWarnings:
    def test_none_of_the_client_leaks(self, caplog: pytest.LogCaptureFixture) -> None:
        with warnings.catch_warnings(record=True, action="always") as leaked, caplog.at_level(logging.WARNING):
            memory = ServerStore(":memory:", ServerSettings())
            write(memory, "first")  # the client warns of payload indexes that have no effect in memory
            for host in ("192.0.2.1", "127.0.0.1"):
                for scheme in ("http", "https", "grpc", "grpcs"):
                    ServerStore(f"{scheme}://{host}:1", ServerSettings(api_key="secret")).close()
            memory.close()
        assert [str(warning.message) for warning in leaked] == []
        assert [record.getMessage() for record in caplog.records] == [
            "the API key travels unencrypted to http://192.0.2.1:1; https:// protects it",
            "the API key travels unencrypted to grpc://192.0.2.1:1; grpcs:// protects it",
        ]

    def test_the_key_is_never_said(self, caplog: pytest.LogCaptureFixture) -> None:
        store = ServerStore(f"http://127.0.0.1:{closed_port()}", ServerSettings(api_key="secret-key"))
        with pytest.raises(StoreUnavailable) as raised:
            store.count(NAME)
        assert "secret-key" not in str(raised.value) + caplog.text
        store.close()


def closed_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def assert_unavailable(call: Callable[[], object], address: str) -> None:
    with pytest.raises(StoreUnavailable) as raised:
        call()
    assert str(raised.value).startswith(f"Qdrant at {address} does not answer: ")
    assert "\n" not in str(raised.value)


class Answering(BaseHTTPRequestHandler):
    """Gives every request the same answer."""

    status, body = 200, b""

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def answering() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer_with(server: HTTPServer, status: int, body: str) -> str:
    """The server's address, from now on giving this answer."""
    fields = {"status": status, "body": body.encode()}
    server.RequestHandlerClass = type("Fixed", (Answering,), fields)
    return f"http://127.0.0.1:{server.server_port}"

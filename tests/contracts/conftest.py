"""Every store behind one fixture, so that one suite holds them all to the same contract."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_double import QdrantDouble, serve_rest
from qdrant_double_grpc import serve_grpc

from overfetch.environment import ServerSettings
from overfetch.protocols import EncodedQuery, Store
from overfetch.sparse import embed_sparse_query
from overfetch.stores.edge import EdgeStore
from overfetch.stores.payloads import slug
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder, FakeStore

# The server adapter over real HTTP and gRPC, against qdrant-client's own request and response models.
SERVED = {"rest": serve_rest, "grpc": serve_grpc}
SERVER_URL = "OVERFETCH_TEST_QDRANT_URL"
SERVER_KEY = "OVERFETCH_TEST_QDRANT_API_KEY"
STORES = ("edge", "memory", "fake", "rest", "grpc", "server")
SITE = f"contract-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="session")
def site() -> str:
    """A name nobody else uses, since a test server is shared."""
    return SITE


@pytest.fixture
def collection(site: str) -> str:
    return f"{site}/c{uuid.uuid4().hex}"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    yield from _opened(request.param, tmp_path)


@pytest.fixture(scope="module", params=STORES)
def shared_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store that tests which only search fill once: a flush takes its time on a busy disk."""
    yield from _opened(request.param, tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module")
def reference() -> Iterator[Store]:
    """The plain store that the others are compared with: it searches everything exactly."""
    store = FakeStore()
    yield store
    store.close()


@pytest.fixture(scope="module")
def exact_hybrid() -> Iterator[Store]:
    """A reference that weighs terms by inverse document frequency, as the real engines do."""
    store = ServerStore(":memory:", ServerSettings())
    yield store
    store.close()


@pytest.fixture(scope="session")
def encode_query() -> Callable[[str], EncodedQuery]:
    embedder = FakeEmbedder()
    return lambda text: EncodedQuery(embedder.embed_queries([text])[0], embed_sparse_query(text))


def _opened(kind: str, folder: Path) -> Iterator[Store]:
    if kind in SERVED:
        with SERVED[kind](QdrantDouble()) as address:
            store: Store = ServerStore(address, ServerSettings())
            yield store
            store.close()
        return
    store = _open_store(kind, folder)
    yield store
    if kind == "server" and isinstance(store, ServerStore):
        _drop_all(store)
    store.close()


def _open_store(kind: str, folder: Path) -> Store:
    if kind == "edge":
        return EdgeStore(folder)
    if kind == "fake":
        return FakeStore()
    key = os.environ.get(SERVER_KEY) if kind == "server" else None
    return ServerStore(":memory:" if kind == "memory" else _server_url(), ServerSettings(api_key=key))


def _server_url() -> str:
    url = os.environ.get(SERVER_URL)
    if not url:
        pytest.skip(f"{SERVER_URL} names no Qdrant server (set it to http://HOST:PORT)")
    return url


def _drop_all(store: ServerStore) -> None:
    """Only what this run made: the site's name is its own."""
    for found in store.client.get_collections().collections:
        if found.name.startswith(slug(f"{SITE}/")):
            store.client.delete_collection(found.name)

"""A process forked from one that searched: gunicorn's preload, Celery, multiprocessing. It answers, and never hangs."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_double import QdrantDouble, serve_rest

from overfetch import backends
from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.environment import ServerSettings, read_environment
from overfetch.forking import ProcessLock
from overfetch.inference.caching import ScoreCache
from overfetch.models import find_profile
from overfetch.sites import Collection, Site
from overfetch.stores.edge import EdgeStore
from overfetch.stores.server import ServerStore
from overfetch.testing import FakeEmbedder, FakeReranker
from overfetch.types import Chunk
from overfetch.workspace import open_site

PATIENCE_S = 60.0

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def site(folder: Path) -> Site:
    source = folder / "notes.jsonl"
    texts = ("Pin the model to a commit.", "The tower falls in the rain.", "A star rises over the hill.")
    lines = [json.dumps({"_id": f"n{n}", "title": f"Note {n}", "text": text}) for n, text in enumerate(texts)]
    source.write_text("\n".join(lines), encoding="utf-8")
    notes = Collection(
        name="notes",
        sample=source,
        fields=FieldMap(metadata={}),
        chunk=lambda document: [Chunk(breadcrumb=document.title, text=document.text)],
        chunker="note/1",
        answering="nowhere:answer",
    )
    return Site(name="forked", title="Forked", collections=(notes,), ask="notes")


def found_in_child(search: Callable[[], object]) -> str:
    """What a forked child finds, or what it raises; it is killed where it hangs."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = repr(search())
        except Exception as error:  # noqa: BLE001
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    deadline = time.monotonic() + PATIENCE_S
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(read)
            raise AssertionError(f"the child hangs for {PATIENCE_S} s")
        time.sleep(0.02)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read().decode()


def searching(engine: Engine, query: str) -> Callable[[], object]:
    def search() -> object:
        found = engine.search("notes", query)
        return found.rerank_status, [hit.passage.document_id for hit in found.hits]

    return search


def test_it_embeds_searches_and_reranks_with_real_models(tmp_path: Path) -> None:
    with open_site(site(tmp_path)) as engine:
        engine.index("notes")
        first, other = (searching(engine, query) for query in ("how is a model pinned", "what falls in the rain"))
        expected = repr(first())
        assert "full" in expected
        # What was asked before is remembered, what was not is run: both work there, twice in a row.
        assert found_in_child(first) == found_in_child(first) == expected
        assert found_in_child(other) == repr(other())
        assert repr(first()) == expected


@pytest.fixture(params=["edge", "rest"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with serve_rest(QdrantDouble()) as address:
        edge = request.param == "edge"
        store = EdgeStore(tmp_path / "store") if edge else ServerStore(address, ServerSettings())
        opened = Engine(site(tmp_path), embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)
        opened.index("notes")
        yield opened
        opened.close()


def test_stores_are_opened_anew(engine: Engine) -> None:
    search = searching(engine, "the tower")
    expected = repr(search())
    assert [found_in_child(search) for _ in range(3)] == [expected] * 3
    assert repr(search()) == expected


def test_it_indexes_too(engine: Engine) -> None:
    searching(engine, "the tower")()
    assert found_in_child(lambda: engine.index("notes", rebuild=True).added) == "3"
    assert searching(engine, "the tower")()


def held_elsewhere(locks: list[ProcessLock]) -> threading.Event:
    """Another thread holds all of them until the event is set."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.__enter__()
        held.set()
        done.wait(PATIENCE_S)
        for lock in locks:
            lock.__exit__()

    threading.Thread(target=hold).start()
    assert held.wait(PATIENCE_S)
    return done


def test_a_lock_that_another_thread_held_is_free(tmp_path: Path) -> None:
    """As when a request loads a model or opens a store while the process forks."""
    store = EdgeStore(tmp_path / "store")
    opened = Engine(site(tmp_path), embedder=FakeEmbedder(), reranker=FakeReranker(), store=store)
    opened.index("notes")
    lazy = backends.LazyReranker(find_profile("mini").reranker, FakeReranker)
    cache = ScoreCache(10)
    with open_site(site(tmp_path)) as engine:
        done = held_elsewhere([lazy._loading, lazy._warming, store._opening, cache._lock])
        environment = read_environment()
        assert found_in_child(lambda: lazy.score("q", ["p"]) and "loaded") == "'loaded'"
        assert found_in_child(lazy.warm_up) == "None"
        assert "full" in found_in_child(searching(opened, "the tower"))
        assert found_in_child(lambda: cache.find([("m", 1, True, b"q", b"p")])) == "[None]"
        assert found_in_child(lambda: open_site(site(tmp_path), environment=environment).site.name) == "'forked'"
        assert engine.site.name == "forked"
        done.set()
    store.close()

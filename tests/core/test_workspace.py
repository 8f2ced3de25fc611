"""One workspace a process: equal environments share models and store, and the last one out closes."""

import gc
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from overfetch import SettingsError, Site, Workspace, backends, load_site, open_reranker, open_site
from overfetch.environment import Environment, read_environment
from overfetch.inference.onnx import OnnxModel
from overfetch.inference.tokenizing import Tokens
from overfetch.protocols import Vectors
from overfetch.testing import FakeEmbedder, FakeReranker, FakeStore

SITES = ("builddaily", "paiddaily", "sagedaily")


class Backends:
    """Fakes in place of real backends, counted."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.stores: list[FakeStore] = []
        self.closed: list[FakeStore] = []

    def load_embedder(self, spec: Any, *_: Any) -> FakeEmbedder:
        self.loaded.append(spec.name)
        return FakeEmbedder()

    def load_reranker(self, spec: Any, *_: Any) -> FakeReranker:
        self.loaded.append(spec.name)
        return FakeReranker()

    def open_store(self, environment: Environment) -> FakeStore:
        store, note = FakeStore(), self.closed

        class Closing(FakeStore):
            def close(self) -> None:
                note.append(self)

        store = Closing()
        self.stores.append(store)
        return store


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Backends:
    made = Backends()
    for name in ("load_embedder", "load_reranker", "open_store"):
        monkeypatch.setattr(backends, name, getattr(made, name))
    return made


def test_three_sites_load_each_model_once(fakes: Backends) -> None:
    engines = [open_site(name) for name in SITES]
    for engine in engines:
        engine.warm_up()
    assert sorted(fakes.loaded) == ["all-minilm-l6-v2", "overfetch-mini"]
    assert len({id(engine.store) for engine in engines}) == len(fakes.stores) == 1
    assert len({id(engine.reranker) for engine in engines}) == 1


def test_profiles_that_name_the_same_embedder_share_it(fakes: Backends) -> None:
    mini, fast = open_site("builddaily", profile="mini"), open_site("builddaily", profile="mini-fast")
    assert mini.embedder is fast.embedder
    assert mini.reranker is not fast.reranker


def test_the_last_one_out_closes_the_store(fakes: Backends) -> None:
    first, second = open_site("builddaily"), open_site("paiddaily")
    first.close()
    first.close()
    assert fakes.closed == []
    second.close()
    assert fakes.closed == fakes.stores
    with open_site("builddaily") as again:
        assert again.store is not fakes.stores[0]


def test_another_environment_is_another_workspace(fakes: Backends, tmp_path: Path) -> None:
    here = read_environment()
    there = here.model_copy(update={"qdrant": f"file:{tmp_path / 'elsewhere'}"})
    engines = [open_site("builddaily", environment=environment) for environment in (here, there)]
    assert engines[0].store is not engines[1].store


def test_a_reranker_alone_is_the_one_that_sites_use(fakes: Backends) -> None:
    alone = open_reranker()
    alone.warm_up()
    with open_site("builddaily") as engine:
        engine.reranker.warm_up()
        assert fakes.loaded == ["overfetch-mini"]


def test_what_nobody_holds_is_given_back(fakes: Backends) -> None:
    engine = open_site("builddaily")
    engine.warm_up()
    held = weakref.ref(engine.reranker)
    engine.close()
    del engine
    gc.collect()
    assert held() is None


def test_an_unknown_profile_opens_nothing(fakes: Backends) -> None:
    with pytest.raises(SettingsError, match="unknown profile 'none'"):
        open_site("builddaily", profile="none")
    with open_site("builddaily"):
        pass
    assert fakes.closed == fakes.stores


def test_a_site_of_a_workspace_leaves_it_open(fakes: Backends) -> None:
    with Workspace() as workspace:
        with workspace.site("builddaily") as engine:
            assert engine.store is workspace.store
        assert fakes.closed == []
        workspace.site(load_site("paiddaily"))
    assert fakes.closed == fakes.stores


def test_a_closed_engine_does_no_more(fakes: Backends) -> None:
    uses: dict[str, tuple[Any, ...]] = {"search": ("canon", "a"), "ask": ("a",), "index": ("canon",), "warm_up": ()}
    with Workspace() as workspace:
        with workspace.site("sagedaily") as engine, open_site("sagedaily") as other:
            engine.index("canon")
            other.index("canon")
        for closed in (engine, other):
            for use, given in {**uses, "put": ("canon", [])}.items():
                with pytest.raises(SettingsError, match="closed: open site 'sagedaily' again, with open_site"):
                    getattr(closed, use)(*given)
        workspace.warm_up()  # of those that are open


def test_the_generations_of_sites(fakes: Backends) -> None:
    with Workspace() as workspace:
        engine = workspace.site("sagedaily")
        engine.index("canon")
        assert [generation.state for generation in workspace.status("sagedaily")["sagedaily/canon"]] == ["live"]
        assert set(workspace.status()) >= {"builddaily/chat", "paiddaily/tickers", "sagedaily/canon"}
        engine.index("canon", rebuild=True)
        assert workspace.rollback("sagedaily/canon").state == "live"
        assert [len(gone) for gone in workspace.prune("sagedaily").values()] == [1]
        with pytest.raises(SettingsError, match="'sagedaily' is a site: name one of its collections"):
            workspace.rollback("sagedaily")


def test_runs_of_two_sites_share_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run is on its way, short sequences of two sites wait: the next run takes both."""
    monkeypatch.setenv("OVERFETCH_THREADS", "1")
    batches: list[list[int]] = []
    entered, may_run = threading.Event(), threading.Event()
    run = OnnxModel.run

    def waiting(model: OnnxModel, batch: Sequence[Tokens]) -> Vectors:
        entered.set()
        assert may_run.wait(60)
        batches.append([len(tokens.ids) for tokens in batch])
        return run(model, batch)

    with open_site("builddaily") as builds, open_site("sagedaily") as reads:
        alone = [site.reranker.score("tower", [text]).logits[0] for site, text in ((builds, "a b"), (reads, "c d"))]
        monkeypatch.setattr(OnnxModel, "run", waiting)
        scores: dict[str, float] = {}

        def score(name: str, site: Any, query: str, passage: str) -> None:
            scores[name] = site.reranker.score(query, [passage]).logits[0]

        first = threading.Thread(target=score, args=("first", builds, "what comes first", "this does"))
        first.start()
        assert entered.wait(60)
        others = [
            threading.Thread(target=score, args=("builds", builds, "the tower", "a b")),
            threading.Thread(target=score, args=("reads", reads, "the tower", "c d")),
        ]
        for thread in others:
            thread.start()
        _await_waiting(2)
        may_run.set()
        for thread in (first, *others):
            thread.join(60)
    assert [len(batch) for batch in batches] == [1, 2]
    assert set(scores) == {"first", "builds", "reads"}
    assert len(alone) == 2


def _await_waiting(sequences: int) -> None:
    from overfetch.inference.scoring import shared_scorer

    deadline = threading.Event()
    for _ in range(600):
        if len(shared_scorer(1)._queue) == sequences:
            return
        deadline.wait(0.1)
    raise AssertionError("the sequences never waited")


def test_two_collections_of_one_name_are_refused() -> None:
    """They would share what is stored."""
    notes = load_site("sagedaily").collections[0]
    with pytest.raises(ValidationError, match="two collections are called 'canon'"):
        Site(name="mine", title="Mine", collections=(notes, notes), ask=notes.name)

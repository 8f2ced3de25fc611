"""How much a reranker reads for one query: as its model does, as a collection says, or as the environment says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_site import small_site

from overfetch import RetrievalSettings, Site, Workspace
from overfetch.backends import LazyReranker
from overfetch.environment import RerankServer, read_environment
from overfetch.inference.onnx import OnnxReranker
from overfetch.ladder import Ladder
from overfetch.models import find_profile

OWN = find_profile("mini").reranker.read_tokens
LONG = {"tower": "The tower falls. ", "star": "A star rises. ", "hill": "Rain over the hill. "}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Three collections of long passages; one reads 900 tokens for a query, one all."""
    records = [{"_id": name, "text": text * 150} for name, text in LONG.items()]
    site = small_site(tmp_path, records)
    (usual,) = site.collections
    budgets = {"pages": None, "few": 900, "every": 0}
    collections = [
        usual.model_copy(update={"name": name, "retrieval": RetrievalSettings(top_k=3, top_n=2, read_tokens=tokens)})
        for name, tokens in budgets.items()
    ]
    return site.model_copy(update={"collections": tuple(collections)})


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    with Workspace() as opened:
        yield opened


def read_by(workspace: Workspace, site: Site) -> dict[str, int | None]:
    engine = workspace.site(site)
    return {c.name: engine.reranker_of(c.name).spec.read_tokens for c in site.collections}


def test_a_collection_goes_before_its_model_and_the_environment_before_it(
    workspace: Workspace, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_by(workspace, site) == {"pages": OWN, "few": 900, "every": None}
    for tokens, expected in (("700", 700), ("0", None)):
        monkeypatch.setenv("OVERFETCH_RERANK_TOKENS", tokens)
        with Workspace() as other:
            assert read_by(other, site) == dict.fromkeys(("pages", "few", "every"), expected)


def test_what_was_read_is_told_with_each_result(workspace: Workspace, site: Site) -> None:
    """One question of three collections with the same passages: no score of one is another's."""
    engine = workspace.site(site)
    for collection in site.collections:
        engine.index(collection.name)
    found = {name: engine.search(name, "which tower falls") for name in ("every", "few", "pages")}
    assert [one.provenance.get("read_tokens") for one in found.values()] == [None, "900", str(OWN)]
    assert found["every"].rerank_reason is None
    told = f"{found['few'].truncated_tokens} tokens of long passages were left out: 900 a query are read"
    assert found["few"].rerank_reason == told
    read = {name: one.tokens_read or 0 for name, one in found.items()}
    assert 0 < read["few"] <= 900 < read["every"]
    assert engine.search("few", "which tower falls").tokens_read == 0, "it is remembered"


def test_readers_of_all_budgets_are_one_model(workspace: Workspace, site: Site) -> None:
    engine, again = workspace.site(site), workspace.site(site)
    engine.warm_up()
    readers = [engine.reranker_of(c.name) for c in site.collections]
    assert readers == [again.reranker_of(c.name) for c in site.collections]
    assert readers[0] is engine.reranker
    models = [reader.model for reader in readers if isinstance(reader, LazyReranker)]
    assert len({id(model._model) for model in models if isinstance(model, OnnxReranker)}) == 1
    assert len({id(model) for model in models}) == 3


def test_how_much_a_server_reads_is_its_own_affair(site: Site) -> None:
    server = RerankServer(url="http://127.0.0.1:9/rerank")
    with Workspace(read_environment().model_copy(update={"rerank": server, "rerank_tokens": 500})) as workspace:
        assert set(read_by(workspace, site).values()) == {None}


def test_the_faster_model_obeys_the_environment_alone(site: Site) -> None:
    environment = read_environment().model_copy(update={"faster": "mini-fast"})
    for tokens, expected in ((None, find_profile("mini-fast").reranker.read_tokens), (500, 500)):
        with Workspace(environment.model_copy(update={"rerank_tokens": tokens})) as workspace:
            engine = workspace.site(site)
            readers = [engine.reranker_of(c.name) for c in site.collections]
            assert [r.faster.spec.read_tokens for r in readers if isinstance(r, Ladder)] == [expected] * 3


@pytest.mark.parametrize("tokens", [-1, 1.5, 10_000_001])
def test_a_budget_is_a_number_of_tokens(tokens: float) -> None:
    with pytest.raises(ValueError, match="read_tokens"):
        RetrievalSettings.model_validate({"read_tokens": tokens})

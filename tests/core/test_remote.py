"""Remote models over real HTTP on 127.0.0.1: wire formats, faults, deadlines, threads, what collections remember."""

import asyncio
import itertools
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from model_server import ModelServer, cut, drip, garbage, late, serving, status

from overfetch import Collection, FieldMap, Site, chunk_by_headings
from overfetch.backends import load_embedder, load_reranker, ready_folder
from overfetch.environment import EmbedServer, Environment, RerankServer, read_environment
from overfetch.errors import DeadlineExceeded, ModelError, ProvenanceMismatch, SettingsError
from overfetch.inference.classifier import TransformersReranker
from overfetch.inference.remote import PAUSES_S, Endpoint, RemoteEmbedder, RemoteReranker
from overfetch.leaving import in_thread
from overfetch.models import find_profile
from overfetch.scheduling import until
from overfetch.testing import FakeEmbedder
from overfetch.workspace import open_reranker, open_site

QUERY = "which tower falls"
PASSAGES = ["the tower falls over the hill", "a star", "the weather is long", "rain", "hill"]


@pytest.fixture(scope="module")
def model(tiny_reranker: Path, make_spec: Any) -> TransformersReranker:
    return TransformersReranker(tiny_reranker, make_spec("reranker"))


@pytest.fixture
def server(model: TransformersReranker) -> Iterator[ModelServer]:
    with serving(lambda query, texts: model.score(query, texts).logits, FakeEmbedder().embed_passages) as opened:
        yield opened


@pytest.fixture
def spec(make_spec: Any) -> Any:
    return make_spec("reranker", precision="remote")


def reranker(server: ModelServer, spec: Any, dialect: str = "tei", **options: Any) -> RemoteReranker:
    return RemoteReranker(Endpoint(server.url(f"{dialect}/rerank"), **options), spec, dialect)


@pytest.mark.parametrize(
    ("dialect", "field", "also"),
    [
        ("cohere", "documents", {}),
        ("jina", "documents", {"return_documents": False}),
        ("infinity", "documents", {"raw_scores": True}),
        ("vllm", "documents", {"use_activation": False, "truncate_prompt_tokens": -1}),
        ("tei", "texts", {"raw_scores": True, "truncate": True}),
    ],
)
def test_a_server_is_asked_as_it_wants(
    dialect: str, field: str, also: dict[str, Any], server: ModelServer, spec: Any
) -> None:
    reranker(server, spec, dialect, api_key="secret").score(QUERY, PASSAGES)
    asked = {"model": "tests/tiny-reranker", "query": QUERY, field: PASSAGES, "top_n": 5}
    assert server.bodies == [asked | also]
    assert server.keys == ["Bearer secret"]


def test_no_key_is_sent_where_none_is_set(server: ModelServer, spec: Any) -> None:
    reranker(server, spec).score(QUERY, PASSAGES)
    assert server.keys == [None]


def test_many_passages_go_in_as_many_requests_as_the_server_takes(
    server: ModelServer, spec: Any, model: TransformersReranker
) -> None:
    passages = [f"{PASSAGES[i % 5]} {'star ' * (i // 10)}" for i in range(70)]
    assert reranker(server, spec).score(QUERY, passages).logits == pytest.approx(
        model.score(QUERY, passages).logits, abs=1e-4
    )
    assert [len(body["texts"]) for body in server.bodies] == [32, 32, 6]


def test_nothing_to_read_asks_nothing(server: ModelServer, spec: Any) -> None:
    assert reranker(server, spec).score(QUERY, []).logits == []
    assert server.bodies == []


@pytest.mark.parametrize(
    "faults",
    [
        [status(429)],
        [status(503), status(502)],
        [status(429, Retry_After="0")],
        [cut],
        [cut, status(503), cut],
    ],
)
def test_what_may_pass_is_tried_again(
    faults: list[Any], server: ModelServer, spec: Any, model: TransformersReranker
) -> None:
    server.faults.extend(faults)
    scores = reranker(server, spec).score(QUERY, PASSAGES)
    assert scores.logits == pytest.approx(model.score(QUERY, PASSAGES).logits, abs=1e-4)
    assert len(server.bodies) == len(faults) + 1


def test_a_server_that_stays_away_is_named(server: ModelServer, spec: Any) -> None:
    server.faults.extend([status(503)] * 9)
    expected = server.url("tei/rerank") + ' answered 503: {"error": "model is overloaded"}'
    with pytest.raises(ModelError, match=re.escape(expected)):
        reranker(server, spec).score(QUERY, PASSAGES)
    assert len(server.bodies) == len(PAUSES_S) + 1


def test_a_server_may_ask_for_more_patience_than_there_is(server: ModelServer, spec: Any) -> None:
    server.faults.append(status(429, Retry_After="3600"))
    with pytest.raises(ModelError, match="answered 429"):
        reranker(server, spec, timeout_s=5).score(QUERY, PASSAGES)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("code", [400, 401, 404, 422, 500])
def test_what_will_not_pass_is_asked_once(code: int, server: ModelServer, spec: Any) -> None:
    server.faults.append(status(code))
    with pytest.raises(ModelError, match=f"answered {code}: .*model is overloaded"):
        reranker(server, spec).score(QUERY, PASSAGES)
    assert len(server.bodies) == 1


def test_the_wrong_dialect_is_told_by_the_servers_own_words(server: ModelServer, spec: Any) -> None:
    wrong = RemoteReranker(Endpoint(server.url("tei/rerank")), spec, "cohere")
    with pytest.raises(ModelError, match=r"answered 422: .*missing field `texts`"):
        wrong.score(QUERY, PASSAGES)


def test_neither_key_nor_password_nor_query_is_shown(server: ModelServer, spec: Any) -> None:
    server.faults.extend([status(401)] * 2)
    url = server.url("tei/rerank?key=secret").replace("://", "://user:secret@")
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:\d+/tei/rerank answered 401") as told:
        RemoteReranker(Endpoint(url, api_key="secret"), spec, "tei").score(QUERY, PASSAGES)
    assert "secret" not in str(told.value)


def test_nobody_listens(spec: Any) -> None:
    with pytest.raises(ModelError, match=r"http://127\.0\.0\.1:9/rerank cannot be reached: ConnectError"):
        RemoteReranker(Endpoint("http://127.0.0.1:9/rerank"), spec).score(QUERY, PASSAGES)


@pytest.mark.parametrize("fault", [late, drip])
def test_patience_ends(fault: Any, server: ModelServer, spec: Any) -> None:
    server.faults.append(fault)
    with pytest.raises(ModelError, match=r"/tei/rerank did not answer within 0\.3 s"):
        reranker(server, spec, timeout_s=0.3).score(QUERY, PASSAGES)
    assert len(server.bodies) <= 1


@pytest.mark.parametrize("fault", [late, drip])
def test_a_deadline_leaves_what_came_before_it(
    fault: Any, server: ModelServer, spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that stands still until the first reply, and then is shortly before the deadline."""
    ticks = itertools.count()
    replied = threading.Event()

    def monotonic() -> float:
        return 99.5 + next(ticks) / 100 if replied.is_set() else 0.0

    def noted(reply: Any) -> Any:
        replied.set()
        return reply

    monkeypatch.setattr("overfetch.inference.remote.time", SimpleNamespace(monotonic=monotonic))
    server.alter = noted
    server.faults.extend([lambda handler: False, fault])
    scores = reranker(server, spec, timeout_s=1000).score(QUERY, PASSAGES * 10, deadline=100.0)
    assert len(scores.logits) == 32
    assert scores.truncated_tokens is None


def test_a_deadline_that_passed_asks_nothing(server: ModelServer, spec: Any) -> None:
    assert reranker(server, spec).score(QUERY, PASSAGES, deadline=time.monotonic() - 1).logits == []
    assert server.bodies == []


def test_a_failing_server_fails_though_the_deadline_is_near(server: ModelServer, spec: Any) -> None:
    """Its reason is worth more than "the deadline allowed nothing"."""
    server.faults.append(status(503, Retry_After="3600"))
    with pytest.raises(ModelError, match="answered 503"):
        reranker(server, spec).score(QUERY, PASSAGES, deadline=time.monotonic() + 60)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>gateway</html>",
        b"{}",
        b'{"results": 7}',
        b'[{"index": 0}]',
        b'[{"index": "first", "score": 1.0}]',
        b'[{"index": 0, "score": NaN}]',
        b'[{"index": 0, "score": null}]',
    ],
)
def test_another_shape_is_shown(content: bytes, server: ModelServer, spec: Any) -> None:
    server.faults.append(garbage(content))
    shown = re.escape(f"{server.url('tei/rerank')} answered in an unknown shape: {content.decode()}")
    with pytest.raises(ModelError, match=shown):
        reranker(server, spec).score(QUERY, PASSAGES[:1])


@pytest.mark.parametrize("places", [[0], [0, 0, 1], [0, 1, 3], [0, 1, 2, 2], [-1, 0, 1]])
def test_one_score_for_each_passage_or_none(places: list[int], server: ModelServer, spec: Any) -> None:
    server.alter = lambda _: [{"index": place, "score": 1.0} for place in places]
    with pytest.raises(ModelError, match=rf"/tei/rerank answered for {len(set(places))} of 3 texts"):
        reranker(server, spec).score(QUERY, PASSAGES[:3])


def test_threads_share_connections_and_get_their_own_answers(
    server: ModelServer, spec: Any, model: TransformersReranker
) -> None:
    shared = reranker(server, spec)
    asked = [(QUERY, PASSAGES[: 1 + n % 5]) for n in range(160)]
    alone = {len(passages): model.score(query, passages).logits for query, passages in asked[:5]}
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda one: shared.score(*one).logits, asked))
    assert all(logits == pytest.approx(alone[len(logits)], abs=1e-4) for logits in found)
    assert [len(logits) for logits in found] == [len(passages) for _, passages in asked]
    assert server.connections <= 16


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_connections_of_its_own(server: ModelServer, spec: Any) -> None:
    shared = reranker(server, spec)
    expected = shared.score(QUERY, PASSAGES).logits
    child = os.fork()
    if child == 0:
        os._exit(0 if shared.score(QUERY, PASSAGES).logits == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shared.score(QUERY, PASSAGES).logits == expected
    assert server.connections == 2


def test_an_impossible_address_is_told() -> None:
    with pytest.raises(SettingsError, match=r"'http://gpu:port/rerank' is no address: Invalid port"):
        Endpoint("http://gpu:port/rerank")


@pytest.mark.parametrize("key", ["secret\n", "sécret"])
def test_a_key_that_no_header_can_hold_is_told_but_not_shown(key: str) -> None:
    with pytest.raises(SettingsError, match="a character that no header can have") as told:
        Endpoint("http://gpu/rerank", api_key=key)
    assert "cret" not in str(told.value)


async def test_a_task_that_leaves_stops_asking(server: ModelServer, spec: Any) -> None:
    server.faults.extend([status(429, Retry_After="20")] * 9)
    task = asyncio.create_task(in_thread(reranker(server, spec).score, QUERY, PASSAGES))
    while not server.bodies:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.2)
    assert len(server.bodies) == 1


def embedder(server: ModelServer, make_spec: Any, **fields: Any) -> RemoteEmbedder:
    return RemoteEmbedder(Endpoint(server.url("v1/embeddings")), make_spec("embedder", **{"dimension": 64, **fields}))


def test_texts_are_embedded_with_their_prefixes(server: ModelServer, make_spec: Any) -> None:
    remote = embedder(server, make_spec, query_prefix="query: ", passage_prefix="passage: ")
    asked, kept = remote.embed_queries(["a star"]), remote.embed_passages(["a star"])
    assert np.abs(asked - FakeEmbedder().embed_passages(["query: a star"])).max() < 1e-6
    assert np.abs(kept - FakeEmbedder().embed_passages(["passage: a star"])).max() < 1e-6
    sent = [{k: body[k] for k in ("model", "input", "encoding_format")} for body in server.bodies]
    assert sent == [
        {"model": "tests/tiny-embedder", "input": [f"{prefix}: a star"], "encoding_format": "float"}
        for prefix in ("query", "passage")
    ]


def test_vectors_come_in_order_and_of_unit_length(server: ModelServer, make_spec: Any) -> None:
    server.alter = lambda reply: {"data": [{**d, "embedding": [9 * x for x in d["embedding"]]} for d in reply["data"]]}
    texts = [f"{PASSAGES[n % 5]} {n}" for n in range(100)]
    vectors = embedder(server, make_spec).embed_passages(texts)
    assert vectors.dtype == np.float32
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-6
    assert np.abs(vectors - FakeEmbedder().embed_passages(texts)).max() < 1e-6
    assert sorted(len(body["input"]) for body in server.bodies) == [4, 32, 32, 32]


@pytest.mark.parametrize("count", [1, 70])
def test_vectors_are_not_waited_for_beyond_the_end_of_the_runs(count: int, server: ModelServer, make_spec: Any) -> None:
    server.faults.extend([late] * 3)
    with until(time.monotonic() + 0.2), pytest.raises(DeadlineExceeded, match="has no time left"):
        embedder(server, make_spec).embed_passages(["a star"] * count)


def test_no_text_no_request(server: ModelServer, make_spec: Any) -> None:
    assert embedder(server, make_spec).embed_passages([]).shape == (0, 64)
    assert server.bodies == []


def test_another_models_vectors_are_refused(server: ModelServer, make_spec: Any) -> None:
    remote = embedder(server, make_spec, dimension=384)
    message = r"/v1/embeddings answered with vectors of \[64\] numbers where tiny-embedder has 384; .*EMBED_DIMENSION"
    with pytest.raises(ModelError, match=message):
        remote.embed_queries(["a star"])


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([0.0] * 64, "a vector of zeros"),
        ([1.0] * 63, r"vectors of \[63\] numbers"),
        ([], r"vectors of \[0\] numbers"),
        ("AACAPw==", "in an unknown shape"),
        ([None] * 64, "in an unknown shape"),
    ],
)
def test_what_is_no_vector_is_refused(vector: Any, message: str, server: ModelServer, make_spec: Any) -> None:
    server.alter = lambda reply: {"data": [{**d, "embedding": vector} for d in reply["data"]]}
    with pytest.raises(ModelError, match=rf"/v1/embeddings answered (with|in) ?.*{message.removeprefix('in ')}"):
        embedder(server, make_spec).embed_queries(["a star"])


MINI = find_profile("mini")


UNSTATED = f"{MINI.embedder.known_as}@unstated#remote"
ORIGINAL = MINI.embedder.searches[0].partition("@")[2].partition("#")[0]
GPU = "http://gpu/v1/embeddings"


@pytest.mark.parametrize(
    ("server", "identity"),
    [
        (RerankServer(), MINI.reranker.identity),
        (RerankServer(url="http://gpu/rerank"), f"{MINI.reranker.repo}@unstated#remote"),
        (RerankServer(url="http://gpu/rerank", model="rerank-v3.5", revision="2024-12"), "rerank-v3.5@2024-12#remote"),
    ],
)
def test_a_reranker_of_a_server_says_so(server: RerankServer, identity: str) -> None:
    assert Environment(rerank=server).served(MINI).reranker.identity == identity
    assert Environment(rerank=server).served(MINI).embedder == MINI.embedder


@pytest.mark.parametrize(
    ("server", "identity"),
    [
        (EmbedServer(), MINI.embedder.identity),
        (EmbedServer(url=GPU), UNSTATED),
        (EmbedServer(url=GPU, revision=MINI.embedder.revision[:7]), UNSTATED.replace("unstated", "59d3369")),
        (EmbedServer(url=GPU, model="minilm"), "minilm@unstated#remote"),
        (EmbedServer(url=GPU, model="minilm", revision=MINI.embedder.revision), MINI.embedder.identity),
        (EmbedServer(url=GPU, revision=ORIGINAL), MINI.embedder.identity),
        (
            EmbedServer(url=GPU, model="large", dimension=1536, revision=MINI.embedder.revision),
            f"large@{MINI.embedder.revision}#remote",
        ),
    ],
)
def test_only_a_stated_revision_makes_a_servers_vectors_those_of_the_pin(server: EmbedServer, identity: str) -> None:
    assert Environment(embed=server).served(MINI).embedder.identity == identity
    assert Environment(embed=server).served(MINI).reranker == MINI.reranker


def test_parity_of_the_pin_says_nothing_of_a_servers_vectors() -> None:
    assert MINI.embedder.searches
    assert EmbedServer(url=GPU).model_served(MINI.embedder).searches == ()


def test_another_model_has_prefixes_of_its_own() -> None:
    nomic = find_profile("bge").embedder
    other = EmbedServer(url=GPU, model="e5", dimension=1024, query_prefix="query: ").model_served(nomic)
    assert (other.dimension, other.query_prefix, other.passage_prefix) == (1024, "query: ", "")
    assert other.licence == "unstated"
    same = EmbedServer(url=GPU, model="nomic").model_served(nomic)
    assert (same.dimension, same.query_prefix) == (768, "search_query: ")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"RERANK_URL": "gpu:8080/rerank"}, "OVERFETCH_RERANK_URL is 'gpu:8080/rerank'; give the whole endpoint"),
        ({"RERANK_URL": "http://gpu:8080"}, "such as http://HOST:8080/rerank"),
        ({"EMBED_URL": "http://gpu:8080/"}, "such as http://HOST:8080/v1/embeddings"),
        ({"RERANK_MODEL": "bge"}, "OVERFETCH_RERANK_MODEL is set, but OVERFETCH_RERANK_URL, which it belongs to"),
        ({"RERANK_API": "tei"}, "OVERFETCH_RERANK_API is set, but OVERFETCH_RERANK_URL"),
        ({"RERANK_API": "soap", "RERANK_URL": "http://gpu/rerank"}, "OVERFETCH_RERANK_API: Input should be 'cohere'"),
        ({"EMBED_API_KEY": "secret"}, "OVERFETCH_EMBED_API_KEY is set, but OVERFETCH_EMBED_URL"),
        ({"EMBED_URL": GPU, "EMBED_QUERY_PREFIX": "query: "}, "give its OVERFETCH_EMBED_DIMENSION too"),
        ({"EMBED_URL": GPU, "EMBED_DIMENSION": "8"}, "name it by OVERFETCH_EMBED_MODEL"),
        ({"EMBED_URL": GPU, "EMBED_TIMEOUT_S": "0"}, "OVERFETCH_EMBED_TIMEOUT_S: Input should be greater than 0"),
    ],
)
def test_settings_that_do_not_go_together(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OVERFETCH_{name}", value)
    with pytest.raises(SettingsError, match=re.escape(message)) as refused:
        read_environment()
    assert "secret" not in str(refused.value)


def test_variables_are_read_and_keys_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"URL": "http://gpu/rerank", "API": "tei", "API_KEY": "secret", "TIMEOUT_S": "2"}.items():
        monkeypatch.setenv(f"OVERFETCH_RERANK_{name}", value)
    environment = read_environment()
    assert (environment.rerank.url, environment.rerank.api, environment.rerank.timeout_s) == (
        "http://gpu/rerank",
        "tei",
        2,
    )
    assert environment.rerank.api_key == "secret"
    assert environment.embed.url is None
    assert "secret" not in f"{environment!r} {environment}"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A page for each passage."""
    for number, passage in enumerate(PASSAGES):
        (tmp_path / f"{number}.md").write_text(f"---\ntitle: Page {number}\n---\n{passage}", encoding="utf-8")
    notes = Collection(
        name="notes",
        sample=tmp_path,
        fields=FieldMap(metadata={}),
        chunk=lambda document: chunk_by_headings(document, 140),
        chunker="notes/1",
        answering="notes:answer",
    )
    return Site(name="notes", title="Notes", collections=(notes,), ask="notes")


@pytest.fixture
def mini_server() -> Iterator[ModelServer]:
    """The mini profile's own models behind HTTP."""
    here = read_environment()
    reranker = load_reranker(MINI.reranker, here)
    embedder = load_embedder(MINI.embedder, here)
    with serving(lambda query, texts: reranker.score(query, texts).logits, embedder.embed_passages) as server:
        yield server


def test_a_site_is_served_by_servers_and_its_collections_remember_it(mini_server: ModelServer, site: Site) -> None:
    here = read_environment()
    rerank = RerankServer(url=mini_server.url("tei/rerank"), api="tei")
    url = mini_server.url("v1/embeddings")
    there = here.model_copy(update={"rerank": rerank, "embed": EmbedServer(url=url)})
    stated = here.model_copy(update={"embed": EmbedServer(url=url, revision=MINI.embedder.revision)})
    with open_site(site, environment=there) as engine:
        report = engine.index("notes")
        assert report.truncated_tokens is None
        remote = engine.search("notes", "the tower falls")
        assert (remote.rerank_status, remote.truncated_tokens) == ("full", None)
        assert remote.provenance["embedder"] == UNSTATED
        assert remote.provenance["reranker"] == f"{MINI.reranker.repo}@unstated#remote"
    with open_site(site, environment=here) as engine, pytest.raises(ProvenanceMismatch, match="unstated#remote"):
        engine.search("notes", "the tower falls")
    with open_site(site, environment=stated) as engine:
        engine.index("notes", rebuild=True)
    with open_site(site, environment=here) as engine:
        local = engine.search("notes", "the tower falls")
        assert local.provenance["embedder"] == MINI.embedder.identity
    assert [hit.passage.id for hit in local.hits] == [hit.passage.id for hit in remote.hits]
    assert [hit.rerank_score for hit in local.hits] == pytest.approx([h.rerank_score for h in remote.hits], abs=1e-3)


def test_no_query_waits_for_its_vector_beyond_its_deadline(mini_server: ModelServer, site: Site) -> None:
    url = mini_server.url("v1/embeddings")
    there = read_environment().model_copy(update={"embed": EmbedServer(url=url, revision=MINI.embedder.revision)})
    with open_site(site, environment=there) as engine:
        engine.index("notes")
        mini_server.faults.append(late)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded, match=re.escape(f"{url}: whoever asked has left, or has no time left")):
            engine.search("notes", "the tower falls", deadline_ms=200)
        assert 0.2 <= time.monotonic() - began < 20
        assert engine.search("notes", "the tower falls", deadline_ms=20_000).hits


def test_a_failing_server_costs_order_not_the_answer(site: Site) -> None:
    there = read_environment().model_copy(update={"rerank": RerankServer(url="http://127.0.0.1:9/rerank")})
    with open_site(site, environment=there) as engine:
        engine.index("notes")
        retrieval = engine.search("notes", "the tower falls")
    assert retrieval.rerank_status == "failed"
    assert "http://127.0.0.1:9/rerank cannot be reached" in str(retrieval.rerank_reason)
    assert retrieval.hits


def test_a_reranker_alone_reads_what_it_is_given(mini_server: ModelServer) -> None:
    server = RerankServer(url=mini_server.url("infinity/rerank"), api="infinity")
    far = open_reranker("mini", environment=read_environment().model_copy(update={"rerank": server}))
    near = open_reranker("mini")
    assert far.score(QUERY, PASSAGES).logits == pytest.approx(near.score(QUERY, PASSAGES).logits, abs=1e-4)
    assert far.spec.precision == "remote"
    far.warm_up()
    assert json.dumps(mini_server.bodies[-1]["documents"]) == '["warm up"]'


def test_a_model_of_a_server_cannot_be_tuned() -> None:
    there = read_environment().model_copy(update={"rerank": RerankServer(url="http://gpu/rerank")})
    with pytest.raises(SettingsError, match="overfetch-mini is not on this machine; unset OVERFETCH_RERANK_URL"):
        ready_folder(there.served(MINI).reranker, there)

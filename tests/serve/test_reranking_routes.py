"""`/v2/rerank`, `/v1/rerank` and `/rerank`: every document scored or the request refused, as each vendor says it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from overfetch import Environment, ModelError, ModelSpec, SettingsError, Workspace
from overfetch.inference.remote import Endpoint, RemoteReranker
from overfetch.models import find_profile
from overfetch.ordering import combine
from overfetch.protocols import RerankScores
from overfetch.sparse import embed_sparse_passage, embed_sparse_query
from overfetch_serve.folders import COLLECTION, folder_site
from overfetch_serve.vendors.ranking import Ranker, bm25, first_stage, sigmoid

QUERY = "what is the capital of France?"
DOCUMENTS = [
    "Bread is baked in an oven.",
    "Paris is the capital of France.",
    "Berlin is the capital of Germany.",
    "Cats like milk.",
]
COHERE = {"model": "mini", "query": QUERY, "documents": DOCUMENTS}
TEI = {"query": QUERY, "texts": DOCUMENTS}


def post(client: TestClient, path: str, body: object, **headers: str) -> Any:
    answered = client.post(path, json=body, headers=headers)
    assert answered.status_code == 200, answered.text
    return answered.json()


class TestCohere:
    def test_documents_come_by_their_relevance(self, client: TestClient) -> None:
        answered = post(client, "/v2/rerank", {**COHERE, "top_n": 2})
        assert [result["index"] for result in answered["results"]] == [1, 2]
        scores = [result["relevance_score"] for result in answered["results"]]
        assert 1 > scores[0] > scores[1] > 0
        assert answered["meta"]["api_version"] == {"version": "2"}
        assert answered["meta"]["billed_units"] == {"search_units": 1}
        assert answered["meta"]["tokens"]["input_tokens"] > len(DOCUMENTS)

    def test_a_model_whose_logits_alone_lose_is_combined_and_says_so(self, client: TestClient) -> None:
        answered = post(client, "/v2/rerank", COHERE)
        raw = _by_index(post(client, "/v2/rerank", {**COHERE, "raw_scores": True}))
        with Workspace(Environment()) as workspace:
            embedder, share = (
                workspace.embedder(find_profile("mini").embedder),
                find_profile("mini").reranker.order_weight,
            )
            vectors = embedder.embed_passages(DOCUMENTS)
            first = first_stage(QUERY, DOCUMENTS, embedder.embed_queries([QUERY])[0], [*vectors])
        assert _by_index(answered) == pytest.approx([*map(sigmoid, combine(first, raw, share))], abs=1e-5)
        told = answered["meta"]["warnings"][0]
        assert "overfetch-mini" in told
        assert "BM25" in told

    @pytest.mark.parametrize(("path", "api"), [("/v2/rerank", "cohere"), ("/v1/rerank", "jina"), ("/rerank", "tei")])
    def test_another_overfetch_gets_logits_and_combines_them_itself(self, address: str, path: str, api: str) -> None:
        """Combined here and once more there, the first stages of both would outweigh the cross-encoder."""
        remote = RemoteReranker(Endpoint(address + path), find_profile("mini").reranker, api)
        with Workspace(Environment()) as workspace:
            own = workspace.reranker(find_profile("mini").reranker).score(QUERY, DOCUMENTS)
        assert remote.score(QUERY, DOCUMENTS).logits == pytest.approx(own.logits, abs=1e-4)

    def test_what_has_no_effect_is_said(self, client: TestClient) -> None:
        answered = post(client, "/v2/rerank", {**COHERE, "priority": 5, "colour": "red"})
        told = " ".join(answered["meta"]["warnings"])
        assert "priority has no effect" in told
        assert "'colour' has no effect" in told

    def test_documents_are_cut_where_that_is_asked_for(self, client: TestClient) -> None:
        long = {**COHERE, "documents": ["milk " * 20 + "Paris is the capital of France."], "max_tokens_per_doc": 20}
        cut = post(client, "/v2/rerank", {**long, "raw_scores": True})
        same = post(client, "/v2/rerank", {**COHERE, "documents": [("milk " * 20).strip()], "raw_scores": True})
        assert cut["results"] == same["results"]
        assert "1 documents were cut at 20 tokens" in cut["meta"]["warnings"][-1]

    @pytest.mark.parametrize(
        ("changed", "status", "told"),
        [
            ({"query": "  "}, 400, "empty"),
            ({"documents": []}, 400, "documents"),
            ({"documents": [{"text": "an object"}]}, 400, "documents"),
            ({"top_n": 0}, 400, "top_n"),
            ({"model": "rerank-v9"}, 404, "mini"),
            ({"model": None}, 400, "model"),
        ],
    )
    def test_what_is_not_allowed_is_said_as_cohere_says_it(
        self, client: TestClient, changed: dict[str, object], status: int, told: str
    ) -> None:
        answered = client.post("/v2/rerank", json={**COHERE, **changed})
        assert answered.status_code == status
        assert answered.json().keys() == {"id", "message"}
        assert told in answered.json()["message"]

    @pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank", "/rerank", "/v1/embeddings", "/v1/chat/completions"])
    @pytest.mark.parametrize(
        "body",
        [
            b'{"model": "mini"',
            b'"\\ud800"',
            b"[" * 100_000,
            b'{"model": "mini", "query": "a", "documents": ["\\ud800"], "texts": ["\\ud800"], "input": "\\ud800"}',
            b'{"model": "builddaily", "messages": [{"role": "user", "content": "a"}], "\\ud800": 1}',
        ],
    )
    def test_a_body_that_cannot_be_read_is_refused(self, client: TestClient, path: str, body: bytes) -> None:
        answered = client.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answered.status_code in {400, 413}
        assert "type" not in answered.json()

    def test_names_of_fields_may_be_anything(self, client: TestClient) -> None:
        answered = client.post(
            "/v1/builddaily/chat/ask",
            headers={"Content-Type": "application/json"},
            content=b'{"question": "a", "\\ud800": 1}',
        )
        assert answered.status_code == 422


class TestOlder:
    def test_objects_are_read_by_their_fields_and_come_back(self, client: TestClient) -> None:
        documents = [{"title": "Paris", "text": "A city."}, {"title": "Bread", "text": "It is baked."}, "Milk."]
        fields = {"query": "how is bread made", "rank_fields": ["title", "text"], "return_documents": True}
        answered = post(client, "/v1/rerank", {"documents": documents, **fields})
        assert answered["results"][0]["document"] == documents[1]
        assert {"text": "Milk."} in [result["document"] for result in answered["results"]]
        assert answered["model"] == "overfetch-mini"
        assert answered["usage"]["total_tokens"] == answered["meta"]["tokens"]["input_tokens"]

    def test_documents_do_not_come_back_unasked(self, client: TestClient) -> None:
        answered = post(client, "/v1/rerank", COHERE)
        assert all("document" not in result for result in answered["results"])

    def test_a_document_without_the_fields_is_refused(self, client: TestClient) -> None:
        answered = client.post("/v1/rerank", json={"query": QUERY, "documents": [{"body": "Paris"}]})
        assert answered.status_code == 400
        assert "body" in answered.json()["message"]


class TestTei:
    def test_a_bare_list_best_first(self, client: TestClient) -> None:
        answered = client.post("/rerank", json={**TEI, "return_text": True})
        ranks = answered.json()
        assert [rank["text"] for rank in ranks[:2]] == [DOCUMENTS[1], DOCUMENTS[2]]
        assert {rank["index"] for rank in ranks} == set(range(len(DOCUMENTS)))
        assert "BM25" in answered.headers["Overfetch-Warnings"]

    def test_raw_scores_are_the_logits(self, client: TestClient) -> None:
        answered = client.post("/rerank", json={**TEI, "raw_scores": True})
        with Workspace(Environment()) as workspace:
            logits = workspace.reranker(find_profile("mini").reranker).score(QUERY, DOCUMENTS).logits
        assert _by_index({"results": answered.json()}) == pytest.approx(logits, abs=1e-4)
        assert "Overfetch-Warnings" not in answered.headers

    def test_what_is_not_tei_s_is_honoured_or_said(self, client: TestClient) -> None:
        more = {"model": "overfetch-mini", "top_n": 1, "colour\n": "red", "raw_scores": True}
        answered = client.post("/rerank", json={**TEI, **more})
        assert [rank["index"] for rank in answered.json()] == [1]
        assert answered.headers["Overfetch-Warnings"] == "'colour\\n' has no effect here"
        assert client.post("/rerank", json={**TEI, "model": "other"}).status_code == 404

    def test_errors_are_said_as_tei_says_them(self, client: TestClient) -> None:
        answered = client.post("/rerank", json={"query": QUERY, "texts": []})
        assert answered.status_code == 413
        assert answered.json()["error_type"] == "Validation"


class Other:
    """A reranker that answers otherwise."""

    def __init__(self, spec: ModelSpec, score: Callable[[Sequence[str]], RerankScores]) -> None:
        self.spec = spec
        self._score = score

    def warm_up(self) -> None: ...

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        return self._score(passages)


def ranker_of(app: FastAPI) -> Ranker:
    ranker: Ranker = app.state.service.catalogue.ranker("mini")
    return ranker


def failing(passages: Sequence[str]) -> RerankScores:
    raise ModelError("the file of the model is gone")


class TestBounds:
    def test_without_time_nothing_is_invented(self, client: TestClient) -> None:
        """Nothing was measured yet: what was read by then tells what is allowed."""
        answered = client.post("/v2/rerank", json=COHERE, headers={"Overfetch-Deadline-Ms": "0.001"})
        assert answered.status_code == 400
        assert "allow 0" in answered.json()["message"]

    def test_what_cannot_be_read_in_time_is_refused_before_it_is_read(self, opened: Callable[..., FastAPI]) -> None:
        paragraph = "The capital of France is a city on the river Seine, and bread is baked there every day. "
        documents = [paragraph * 3 + str(number) for number in range(20)]
        app = opened()
        with TestClient(app) as client:
            post(client, "/v2/rerank", {**COHERE, "documents": documents})
            ranker_of(app).reranker = Other(ranker_of(app).reranker.spec, failing)
            more = {**COHERE, "documents": documents * 100}
            answered = client.post("/v2/rerank", json=more, headers={"Overfetch-Deadline-Ms": "100"})
        assert answered.status_code == 400
        assert "2000 texts of these lengths take longer than the 100 ms" in answered.json()["message"]

    def test_overload_is_429_with_the_time_to_wait(self, opened: Callable[..., FastAPI]) -> None:
        app = opened(concurrency=1, waiting=0)
        seen: list[Any] = []
        with TestClient(app) as client:

            def asking_more(passages: Sequence[str]) -> RerankScores:
                """While the only turn is taken."""
                embeddings = {"model": "mini", "input": "a"}
                for path, body in (("/v2/rerank", COHERE), ("/rerank", TEI), ("/v1/embeddings", embeddings)):
                    seen.append(client.post(path, json=body))
                return RerankScores([0.0] * len(passages), 0)

            ranker_of(app).reranker = Other(ranker_of(app).reranker.spec, asking_more)
            post(client, "/v2/rerank", COHERE)
        assert [answered.status_code for answered in seen] == [429, 429, 429]
        assert all(int(answered.headers["Retry-After"]) for answered in seen)
        assert seen[0].json()["message"]
        assert seen[1].json()["error_type"] == "Overloaded"
        assert seen[2].json()["error"]["code"] == "rate_limit_exceeded"

    def test_a_body_that_is_too_large_is_said_to_each_in_its_way(self, opened: Callable[..., FastAPI]) -> None:
        with TestClient(opened(body_bytes=100)) as client:
            cohere, tei = client.post("/v2/rerank", json=COHERE), client.post("/rerank", json=TEI)
        assert cohere.status_code == tei.status_code == 413
        assert "bytes" in cohere.json()["message"]
        assert "bytes" in tei.json()["error"]

    def test_a_model_that_fails_is_said_to_each_in_its_way(self, opened: Callable[..., FastAPI]) -> None:
        app = opened()
        with TestClient(app) as client:
            ranker_of(app).reranker = Other(ranker_of(app).reranker.spec, failing)
            cohere, tei = client.post("/v2/rerank", json=COHERE), client.post("/rerank", json=TEI)
        assert (cohere.status_code, tei.status_code) == (503, 424)
        assert "gone" in cohere.json()["message"]
        assert tei.json()["error_type"] == "Backend"


class TestNames:
    def test_an_alias_stands_for_a_model(self, opened: Callable[..., FastAPI]) -> None:
        with TestClient(opened(aliases="rerank-v3.5=mini-fast", profiles="mini-fast")) as client:
            aliased = post(client, "/v2/rerank", {**COHERE, "model": "rerank-v3.5", "raw_scores": True})
            fast = post(client, "/v2/rerank", {**COHERE, "model": "overfetch-mini-fast", "raw_scores": True})
            mini = post(client, "/v2/rerank", {**COHERE, "raw_scores": True})
            unknown = client.post("/v2/rerank", json={**COHERE, "model": "other"}).json()["message"]
        assert aliased["results"] == fast["results"] != mini["results"]
        assert "rerank-v3.5" in unknown
        assert "mini-fast" in unknown

    @pytest.mark.parametrize("aliases", ["rerank-v3.5", "rerank-v3.5=nothing", "=mini"])
    def test_an_alias_of_nothing_is_refused_at_the_start(self, opened: Callable[..., FastAPI], aliases: str) -> None:
        with pytest.raises(SettingsError, match=r"ALIASES|alias"):
            opened(aliases=aliases)


def test_the_first_stage_over_documents_is_that_of_a_collection_of_them(tmp_path: Path, session_cache: Path) -> None:
    texts = ["Paris is the capital of France.", "Berlin is the capital, the capital of Germany.", "Milk and bread."]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.md").write_text(f"# Page {number}\n\n{text}\n")
    environment = Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache)
    with Workspace(environment) as workspace:
        engine = workspace.site(folder_site(tmp_path))
        engine.index(COLLECTION)
        hits = engine.search(COLLECTION, QUERY, rerank=False, top_n=3).hits
        readings = [hit.passage.reading for hit in hits]
        vectors = engine.embedder.embed_passages(readings)
        scores = first_stage(QUERY, readings, engine.embedder.embed_queries([QUERY])[0], [*vectors])
    assert len(hits) == len(texts)
    assert scores == pytest.approx([hit.first_stage_score for hit in hits], abs=1e-4)


def test_a_rare_word_counts_for_more() -> None:
    documents = ["bread and milk", "bread and oil", "bread and saffron"]
    scores = bm25(embed_sparse_query("bread saffron"), [*map(embed_sparse_passage, documents)])
    assert scores[2] > scores[0] == scores[1] > 0


@pytest.mark.parametrize("logit", [-1_000.0, -1.0, 0.0, 1.0, 1_000.0])
def test_a_sigmoid_is_between_nothing_and_one(logit: float) -> None:
    assert 0 <= sigmoid(logit) <= 1
    assert math.isclose(sigmoid(logit) + sigmoid(-logit), 1)


def _by_index(answered: dict[str, Any]) -> list[float]:
    name = "relevance_score" if "relevance_score" in answered["results"][0] else "score"
    return [result[name] for result in sorted(answered["results"], key=lambda result: result["index"])]

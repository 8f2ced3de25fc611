"""What whoever runs the service sees of it: readiness, figures, logs, ids, rates."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from overfetch import Environment, Workspace, load_site
from overfetch.errors import ModelError
from overfetch.testing import FakeReranker
from overfetch.types import RerankStatus
from overfetch_serve import create_app
from overfetch_serve.keys import Keys
from overfetch_serve.logs import JsonLines
from overfetch_serve.running import application
from overfetch_serve.seen import Seen
from overfetch_serve.settings import ServiceSettings

Opened = Callable[..., FastAPI]
Unwarmed = Callable[..., AbstractContextManager[TestClient]]

SEARCH = "/v1/sagedaily/canon/search"
ROUTE = "/v1/{site}/{collection}/search"
SUN = {"query": "the sun", "top_k": 5}
LOCAL = ("127.0.0.1", 50_000)


@pytest.fixture
def local(opened: Opened) -> Iterator[TestClient]:
    """Asks from the machine of the service."""
    with TestClient(opened(), client=LOCAL) as client:
        yield client


def figures(client: TestClient, **headers: str) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, in the order of their names."""
    text = client.get("/metrics", headers=headers).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(s.name, *(value for _, value in sorted(s.labels.items()))): s.value for s in samples}


class TestReadiness:
    def test_it_is_ready_when_it_serves(self, local: TestClient) -> None:
        assert local.get("/livez").json() == {"status": "alive"}
        assert local.get("/readyz").json() == {
            "status": "ready",
            "parts": {"builddaily": "ready", "sagedaily": "ready", "(models)": "ready"},
            "not_indexed": [],
        }

    def test_only_operators_learn_which_sites_there_are(self, opened: Opened, tmp_path: Path) -> None:
        keys = Keys(tmp_path / "keys.json")
        _, admin = keys.add(["*"], ["admin"])
        _, other = keys.add(["sagedaily"], ["search", "admin"])
        with TestClient(opened(keys=keys.path), client=LOCAL) as client:
            assert client.get("/readyz").json() == {"status": "ready"}
            assert client.get("/readyz", headers={"X-API-Key": other}).json() == {"status": "ready"}
            assert "builddaily" in client.get("/readyz", headers={"X-API-Key": admin}).json()["parts"]

    def test_what_fails_of_one_site_hides_no_other(
        self, samples: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace = Workspace(samples)
        broken, whole = load_site("builddaily"), load_site("sagedaily")
        app = create_app([broken, whole], workspace=workspace, settings=ServiceSettings(state=tmp_path))
        engine = app.state.service.engine("builddaily")

        def fails() -> None:
            raise ModelError("its model is gone")

        monkeypatch.setattr(engine, "warm_up", fails)
        with TestClient(app, client=LOCAL) as client:
            refused = client.get("/readyz")
            assert refused.status_code == 503
            assert refused.json()["reason"] == "1 of 3 parts"
            expected = {"builddaily": "ModelError: its model is gone", "sagedaily": "ready", "(models)": "ready"}
            assert refused.json()["parts"] == expected
            assert client.post(SEARCH, json=SUN).json()["hits"]
            monkeypatch.undo()
            monkeypatch.setattr("overfetch_serve.readiness.SECONDS", 0)
            assert client.get("/readyz").status_code == 200

    def test_what_is_not_indexed_is_said_and_its_searches_are_counted(
        self, session_cache: Path, tmp_path: Path
    ) -> None:
        workspace = Workspace(Environment(qdrant=f"file:{tmp_path / 'empty'}", cache=session_cache, lm=None))
        app = create_app(["sagedaily"], workspace=workspace, settings=ServiceSettings(state=tmp_path))
        with TestClient(app, client=LOCAL) as client:
            assert client.get("/readyz").json()["not_indexed"] == ["sagedaily/canon"]
            assert client.post(SEARCH, json=SUN).status_code == 404
            assert figures(client)["overfetch_failed_total", "sagedaily/canon", "CollectionMissing"] == 1

    def test_a_store_that_is_moved_away_is_unavailable(self, session_cache: Path, tmp_path: Path) -> None:
        workspace = Workspace(Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, lm=None))
        workspace.site("sagedaily").index("canon")
        app = create_app(["sagedaily"], workspace=workspace, settings=ServiceSettings(state=tmp_path))
        with TestClient(app, client=LOCAL) as client:
            assert client.post(SEARCH, json=SUN).status_code == 200
            (tmp_path / "store").rename(tmp_path / "elsewhere")
            refused = client.post(SEARCH, json=SUN)
            assert (refused.status_code, refused.json()["type"]) == (503, "StoreUnavailable")
            assert refused.headers["content-type"] == "application/problem+json"
            assert "sagedaily--canon is gone" in refused.json()["detail"]
            assert str(tmp_path) not in refused.text
            (tmp_path / "elsewhere").rename(tmp_path / "store")
            assert client.post(SEARCH, json=SUN).status_code == 200


class TestMetrics:
    def test_searches_are_counted(self, local: TestClient) -> None:
        before = figures(local)
        for _ in range(2):
            local.post(SEARCH, json={**SUN, "query": "the tower, once more"})
        local.post(SEARCH, json={"query": "asked in this test alone", "top_k": 5, "deadline_ms": 0.001})
        local.post(SEARCH, json={})
        local.get("/v1/made/up/by/the/client")
        after = figures(local)
        assert after["overfetch_requests_total", ROUTE, "200"] == 3
        assert after["overfetch_requests_total", ROUTE, "422"] == 1
        assert after["overfetch_requests_total", "unknown", "404"] == 1
        assert after["overfetch_request_seconds_count", ROUTE, "200"] == 3
        assert after["overfetch_rerank_total", "sagedaily/canon", "full"] == 2
        assert after["overfetch_rerank_total", "sagedaily/canon", "skipped"] == 1
        assert {key[2] for key in after if key[0] == "overfetch_stage_seconds_count"} == {
            "embed",
            "search",
            "rerank",
            "total",
        }
        assert after["overfetch_truncated_tokens_total", "sagedaily/canon"] == 0
        assert after["overfetch_passages", "sagedaily/canon"] > 100
        assert after["overfetch_generation_created_seconds", "sagedaily/canon"] > 1.7e9
        assert after["overfetch_requests_working",] == after["overfetch_requests_waiting",] == 0
        grown = {name: after[name,] - before[name,] for (name, *rest) in before if not rest}
        assert grown["overfetch_scores_total"] == 15
        assert grown["overfetch_scores_remembered_total"] >= 5
        assert after["overfetch_build_info", "mini", version("overfetch-serve")] == 1
        assert not [name for name, *_ in after if name.endswith("_created")]
        assert grown["overfetch_model_sequences_total"] >= grown["overfetch_model_runs_total"] > 0

    def test_passages_of_a_request_that_are_reranked_are_counted(self, local: TestClient) -> None:
        asked = {"model": "mini", "query": "the sun", "documents": ["the sun rises", "a train leaves"], "top_n": 1}
        answered = local.post("/v2/rerank", json=asked)
        assert answered.headers["Overfetch-Rerank-Status"] == "full"
        (model,) = [key[1] for key in figures(local) if key[0] == "overfetch_rerank_total"]
        assert model == local.app.state.service.catalogue.ranker("mini").reranker.spec.identity  # type: ignore[attr-defined]

    def test_they_are_told_to_operators_alone(self, unwarmed: Unwarmed, tmp_path: Path) -> None:
        with unwarmed(client=("203.0.113.9", 1)) as client:
            assert client.get("/metrics").status_code == 403
        keys = Keys(tmp_path / "keys.json")
        _, admin = keys.add(["*"], ["admin"])
        _, other = keys.add(["*"], ["search", "ask", "rerank"])
        with unwarmed(keys=keys.path) as client:
            assert client.get("/metrics").status_code == 401
            assert client.get("/metrics", headers={"X-API-Key": other}).status_code == 403
            assert ("overfetch_requests_total", "/metrics", "403") in figures(client, Authorization=f"Bearer {admin}")


class TestRates:
    def test_each_key_has_its_own(self, unwarmed: Unwarmed, tmp_path: Path) -> None:
        keys = Keys(tmp_path / "keys.json")
        _, first = keys.add(["*"], ["search"])
        _, second = keys.add(["*"], ["search"], requests_per_minute=3)
        with unwarmed(keys=keys.path, requests_per_minute=2) as client:
            of_first = [client.get("/v1/sites", headers={"X-API-Key": first}) for _ in range(3)]
            of_second = [client.get("/v1/sites", headers={"X-API-Key": second}) for _ in range(4)]
            unknown = [client.get("/v1/sites", headers={"X-API-Key": "of_0_0"}).status_code for _ in range(3)]
        assert [answer.status_code for answer in of_first] == [200, 200, 429]
        assert [answer.status_code for answer in of_second] == [200, 200, 200, 429]
        assert unknown == [401, 401, 429]
        assert (of_first[-1].json()["type"], of_second[-1].json()["type"]) == ("TooMany", "TooMany")
        assert 1 <= int(of_first[-1].headers["Retry-After"]) <= 30
        assert 1 <= int(of_second[-1].headers["Retry-After"]) <= 20

    def test_without_keys_each_address_has_its_own(self, unwarmed: Unwarmed) -> None:
        with unwarmed(client=("2001:db8::1", 1), requests_per_minute=1) as client:
            app = client.app
            assert [client.get("/v1/sites").status_code for _ in range(2)] == [200, 429]
            neighbour = TestClient(app, client=("2001:db8::2", 1))  # of the same network
            assert neighbour.get("/v1/sites").status_code == 429
            assert TestClient(app, client=("2001:db8:1::1", 1)).get("/v1/sites").status_code == 200

    def test_they_are_shared_by_all_workers(self, unwarmed: Unwarmed) -> None:
        with unwarmed(requests_per_minute=1) as client, unwarmed(requests_per_minute=1) as neighbour:
            assert client.get("/v1/sites").status_code == 200
            assert neighbour.get("/v1/sites").status_code == 429
            assert figures(neighbour)["overfetch_refused_total", "rate"] == 1

    def test_where_the_file_fails_each_worker_counts_for_itself(
        self, unwarmed: Unwarmed, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "state" / "rates.sqlite").mkdir(parents=True)
        with unwarmed(requests_per_minute=1) as client:
            before = figures(client)["overfetch_rates_unshared_total",]
            assert [client.get("/v1/sites").status_code for _ in range(3)] == [200, 429, 429]
            assert figures(client)["overfetch_rates_unshared_total",] == before + 3
        assert caplog.text.count("are not counted in") == 1


class TestRequests:
    def test_a_sane_id_is_taken_and_another_is_made(self, client: TestClient) -> None:
        answered = client.post("/v1/no/site/search", json=SUN, headers={"X-Request-ID": "trace-1:2.3"})
        assert answered.headers["X-Request-ID"] == answered.json()["request_id"] == "trace-1:2.3"
        for odd in ("", "a b", "x" * 65, '"},{"'):
            made = client.get("/livez", headers={"X-Request-ID": odd}).headers["X-Request-ID"]
            assert len(made) == 32

    def test_the_rerank_status_is_in_a_header(self, client: TestClient) -> None:
        short = {"query": "asked here alone, and not remembered", "deadline_ms": 0.001}
        for asked, status in (({}, "full"), ({"rerank": False}, "off"), (short, "skipped")):
            assert client.post(SEARCH, json={**SUN, **asked}).headers["Overfetch-Rerank-Status"] == status
        assert "Overfetch-Rerank-Status" not in client.get("/v1/sites").headers

    def test_of_the_parts_of_a_question_the_worst_is_told(self) -> None:
        parts: dict[RerankStatus, tuple[RerankStatus, ...]] = {
            "partial": ("full", "partial", "off"),
            "fallback": ("listwise", "fallback", "full"),
        }
        for worst, told in parts.items():
            seen = Seen("")
            for status in told:
                seen.reranked(status)
            assert seen.rerank_status == worst

    def test_what_nobody_thought_of_is_a_problem_with_its_id(
        self, unwarmed: Unwarmed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with unwarmed() as client:
            monkeypatch.setattr(client.app.state.service, "collection", lambda *names: 1 / 0)  # type: ignore[attr-defined]
            failed = TestClient(client.app, raise_server_exceptions=False).post(SEARCH, json=SUN)
        assert (failed.status_code, failed.json()["type"]) == (500, "OverfetchError")
        assert failed.headers["X-Request-ID"] == failed.json()["request_id"]
        assert "division" not in failed.text

    def test_pages_of_named_origins_may_ask(self, unwarmed: Unwarmed) -> None:
        asking = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        with unwarmed() as alone:
            assert "Access-Control-Allow-Origin" not in alone.options(SEARCH, headers=asking).headers
        with unwarmed(cors_origins="https://a.example,https://b.example") as shared:
            allowed = shared.options(SEARCH, headers=asking)
            assert allowed.headers["Access-Control-Allow-Origin"] == "https://a.example"
            foreign = shared.get("/livez", headers={"Origin": "https://c.example"})
            assert "Access-Control-Allow-Origin" not in foreign.headers

    def test_without_keys_a_name_that_merely_leads_here_is_not_answered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OVERFETCH_SERVE_SITES", "sagedaily")
        app = application()
        for host, status in (("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("evil.example", 403)):
            assert TestClient(app, base_url=f"http://{host}").get("/livez").status_code == status

    def test_without_keys_the_pages_of_others_may_not_ask(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A POST without a body needs no preflight: any page could have a collection indexed."""
        monkeypatch.setenv("OVERFETCH_SERVE_SITES", "sagedaily")
        monkeypatch.setenv("OVERFETCH_SERVE_CORS_ORIGINS", "https://friend.example")
        client = TestClient(application(), base_url="http://127.0.0.1:8000")
        for origin in ("https://evil.example", "null", "http://127.0.0.1:9000"):
            refused = client.post("/v1/sagedaily/canon/index", headers={"Origin": origin})
            assert (refused.status_code, refused.json()["type"]) == (403, "NotAllowed")
            assert origin in refused.json()["detail"]
        for origin in ("http://127.0.0.1:8000", "https://friend.example"):
            assert client.get("/livez", headers={"Origin": origin}).status_code == 200


class TestLogs:
    def test_what_is_served_is_told_at_the_start(
        self, opened: Opened, served_workspace: Workspace, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        with TestClient(opened()):
            pass
        served, store = "builddaily, sagedaily", served_workspace.environment.store_address
        expected = f"overfetch-serve {version('overfetch-serve')}: {served}; profile mini, store {store}, keys none"
        assert expected in caplog.messages

    def lines(self, caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
        of_requests = [r for r in caplog.records if r.name == "overfetch_serve.requests"]
        return [json.loads(JsonLines().format(record)) for record in of_requests]

    @pytest.mark.parametrize("asked_for", [False, True])
    def test_a_request_is_a_line_without_its_query(
        self, unwarmed: Unwarmed, tmp_path: Path, caplog: pytest.LogCaptureFixture, asked_for: bool
    ) -> None:
        keys = Keys(tmp_path / "keys.json")
        key, secret = keys.add(["*"], ["search"])
        caplog.set_level(logging.INFO)
        with unwarmed(keys=keys.path, log_queries=asked_for) as client:
            client.post(SEARCH, json=SUN, headers={"X-API-Key": secret, "X-Request-ID": "mine"})
        (line,) = self.lines(caplog)
        expected = {"request_id": "mine", "key": key.id, "route": ROUTE, "status": 200, "rerank_status": "full"}
        assert expected.items() <= line.items()
        assert isinstance(line["ms"], float)
        assert (line.get("queries") == ["the sun"]) == asked_for
        assert ("the sun" in json.dumps(line)) == asked_for
        assert secret not in caplog.text

    def test_a_reranker_that_fails_is_told_without_the_query(
        self, client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = client.app.state.service.engine("sagedaily")  # type: ignore[attr-defined]
        monkeypatch.setattr(engine, "reranker_of", lambda collection: FakeReranker(RuntimeError("out of order")))
        answered = client.post(SEARCH, json=SUN, headers={"X-Request-ID": "that-one"})
        assert answered.headers["Overfetch-Rerank-Status"] == answered.json()["rerank_status"] == "failed"
        told = next(r for r in caplog.records if "out of order" in r.getMessage())
        assert "the sun" not in told.getMessage()

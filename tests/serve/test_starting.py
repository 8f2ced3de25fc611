"""What `overfetch serve` looks at before it serves, what it says of it, and whom it refuses without keys."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from mcp import Client
from prometheus_client.parser import text_string_to_metric_families

from overfetch import Environment, Retrieval, SettingsError, Workspace, load_site
from overfetch_serve import create_app
from overfetch_serve.agents.server import Agents
from overfetch_serve.folders import COLLECTION, folder_site
from overfetch_serve.keys import ANYBODY
from overfetch_serve.running import application, index_missing, require_free, run
from overfetch_serve.service import Service
from overfetch_serve.settings import ServiceSettings

LOCAL = ("127.0.0.1", 50_000)
PAGE = "# {0}\n\nThe {0} is what this page is about, and nothing else is said here.\n"
SEARCH = "/v1/sagedaily/canon/search"
SUN = {"query": "the sun", "top_k": 5}


def counted(client: TestClient) -> dict[tuple[str, str], float]:
    """Requests answered, by route and status."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return {(s.labels["route"], s.labels["status"]): s.value for s in samples if s.name == "overfetch_requests_total"}


class TestAPortThatIsTaken:
    def test_it_is_said_before_anything_is_indexed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def indexed(sites: object) -> None:
            raise AssertionError("it began to index")

        monkeypatch.setattr("overfetch_serve.running.index_missing", indexed)
        monkeypatch.setenv("OVERFETCH_SERVE_SITES", "")
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with pytest.raises(SettingsError, match=f"127.0.0.1:{port} is taken: give another"):
                run([str(tmp_path)], "127.0.0.1", port, 1)
        require_free("127.0.0.1", port)

    def test_a_host_that_is_not_this_machine(self) -> None:
        with pytest.raises(SettingsError, match=r"192\.0\.2\.1:8000 cannot be listened at"):
            require_free("192.0.2.1", 8_000)


def test_what_is_removed_of_a_folder_is_a_warning(
    session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for word in ("teapot", "lighthouse"):
        (folder / f"{word}.md").write_text(PAGE.format(word), encoding="utf-8")
    monkeypatch.setenv("OVERFETCH_QDRANT", f"file:{tmp_path / 'store'}")
    monkeypatch.setenv("OVERFETCH_CACHE", str(session_cache))
    caplog.set_level(logging.INFO, "overfetch_serve.running")
    index_missing([folder_site(folder)])
    (folder / "teapot.md").unlink()
    index_missing([folder_site(folder)])
    told = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "overfetch_serve.running"]
    assert told == [
        ("INFO", f"pages/{COLLECTION} was indexed: passages: 2 added, 0 changed, 0 removed, 0 kept"),
        ("WARNING", f"pages/{COLLECTION} was indexed: passages: 0 added, 0 changed, 1 removed, 1 kept"),
    ]


class TestWhoIsRefused:
    """Without keys, by name or by page; and by what it sends. Each is a problem, logged and counted by its route."""

    @pytest.fixture
    def client(self, monkeypatch: pytest.MonkeyPatch) -> TestClient:
        monkeypatch.setenv("OVERFETCH_SERVE_SITES", "sagedaily")
        monkeypatch.setenv("OVERFETCH_SERVE_BODY_BYTES", "100")
        return TestClient(application(), base_url="http://127.0.0.1:8000", client=LOCAL)

    @pytest.mark.parametrize(
        ("header", "value", "told"),
        [
            ("Host", "evil.example", "under the name 'evil.example', but under 127.0.0.1, localhost, [::1]"),
            ("Host", "127.0.0.1.evil.example:80", "under the name '127.0.0.1.evil.example:80'"),
            ("Host", "", "under the name ''"),
            ("Origin", "https://evil.example", "pages of 'https://evil.example' may not ask"),
        ],
    )
    def test_by_name_or_page(
        self, client: TestClient, caplog: pytest.LogCaptureFixture, header: str, value: str, told: str
    ) -> None:
        caplog.set_level(logging.INFO)
        refused = client.post(SEARCH, json=SUN, headers={header: value, "X-Request-ID": "mine"})
        assert refused.headers["content-type"] == "application/problem+json"
        assert told in refused.json()["detail"]
        assert (refused.status_code, refused.json()["type"]) == (403, "NotAllowed")
        assert refused.json()["request_id"] == refused.headers["X-Request-ID"] == "mine"
        assert "POST /v1/{site}/{collection}/search: 403" in caplog.text
        assert counted(client) == {("/v1/{site}/{collection}/search", "403"): 1}

    def test_names_are_read_in_any_case(self, client: TestClient) -> None:
        assert client.get("/livez", headers={"Host": "LocalHost:80"}).status_code == 200

    def test_what_no_route_has_answered_counts_for_its_route(self, client: TestClient) -> None:
        client.post(SEARCH, content=b" " * 101)
        client.get("/livez/", follow_redirects=False)
        client.get("/openapi.json")
        client.get("/nothing/like/it")
        assert counted(client) == {
            ("/v1/{site}/{collection}/search", "413"): 1,
            ("/livez", "307"): 1,
            ("/openapi.json", "200"): 1,
            ("unknown", "404"): 1,
        }

    def test_what_agents_ask_counts_for_its_route(self, opened: Callable[..., FastAPI]) -> None:
        app = opened()

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            async with app.router.lifespan_context(app):
                yield

        mounting = FastAPI(lifespan=lifespan)
        mounting.mount("/here", app)
        with TestClient(mounting, base_url="http://127.0.0.1", client=LOCAL) as client:
            client.post("/here/mcp", json={})
            figures = client.get("/here/metrics").text
        assert 'overfetch_requests_total{route="/mcp",status="4' in figures


def test_a_collection_that_is_gone_makes_its_site_not_ready(
    session_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("overfetch_serve.readiness.SECONDS", 0)
    workspace = Workspace(Environment(qdrant=f"file:{tmp_path / 'store'}", cache=session_cache, lm=None))
    engine = workspace.site("sagedaily")
    engine.index("canon")
    app = create_app(["sagedaily"], workspace=workspace, settings=ServiceSettings(state=tmp_path))
    with TestClient(app, client=LOCAL) as client:
        assert client.get("/readyz").status_code == 200
        engine.store.drop("sagedaily/canon")
        refused = client.get("/readyz")
        assert refused.status_code == 503
        told = "CollectionMissing: sagedaily/canon was served and is gone: index it again, or start anew without it"
        assert refused.json()["parts"]["sagedaily"] == told
        assert 'overfetch_passages{collection="sagedaily/canon"} 0.0' in client.get("/metrics").text
        engine.index("canon")
        assert client.get("/readyz").status_code == 200


async def test_the_time_of_an_agents_request_begins_once_models_are_loaded(
    samples: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workspace(samples) as workspace:
        service = Service([load_site("sagedaily")], workspace, ServiceSettings())
        agents = Agents(service, lambda context: ANYBODY)
        agents.warming = warming = asyncio.get_running_loop().create_future()
        retrieve, began = service.retrieve, list[bool]()

        async def retrieving(*given: Any) -> Retrieval:
            began.append(warming.done())
            return await retrieve(*given)

        monkeypatch.setattr(service, "retrieve", retrieving)
        async with Client(agents.server()) as client:
            asking = asyncio.create_task(client.call_tool("search_sagedaily_canon", {"query": "the tower"}))
            assert (await client.list_tools()).tools, "while models are loaded"
            warming.set_result(None)
            assert (await asking).structured_content["hits"]
    assert began == [True]

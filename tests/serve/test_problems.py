"""What went wrong is told in the words of who asked, and described where the routes are."""

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient

from overfetch_serve.errors import STATUS
from overfetch_serve.keys import Keys
from overfetch_serve.problems import MEDIA_TYPE

Unwarmed = Callable[..., AbstractContextManager[TestClient]]

SEARCH = "/v1/builddaily/resources/search"
DOCUMENTS = "/v1/builddaily/resources/documents"


def detail(answered: httpx2.Response, status: int = 422) -> str:
    assert answered.status_code == status, answered.text
    return str(answered.json()["detail"])


class TestWhatWasGiven:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b'{"query": "  \\n "}', r"(given '  \n ')"),
            (b'{"query": "a", "where": ["updated>=/etc/docs/api/x"]}', "'/etc/docs/api/x'"),
            (b'{"query": "a", "where": ["updated>=\\/etc\\/docs\\/x"]}', "'/etc/docs/x'"),
        ],
    )
    def test_it_is_told_as_it_was_written(self, unwarmed: Unwarmed, body: bytes, told: str) -> None:
        """Though it looks like a folder of the server."""
        with unwarmed() as client:
            assert told in detail(client.post(SEARCH, content=body, headers={"Content-Type": "application/json"}))

    @pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", None])
    def test_json_has_to_be_said_to_be_such(self, unwarmed: Unwarmed, kind: str | None) -> None:
        with unwarmed() as client:
            refused = client.post(SEARCH, content=b'{"query": "a"}', headers={"Content-Type": kind} if kind else {})
        assert detail(refused, 415) == f"send Content-Type: application/json (given {kind or ''!r})"
        assert refused.json()["type"] == "NotJson"

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b'{"query": ', "body: no JSON at character 10: Expecting value"),
            (b'{"query": "a", "where": "topic=1"}', "body.where: Input should be a list (given 'topic=1')"),
            (b"[1]", "body: Input should be an object (given [1])"),
        ],
    )
    def test_a_wrong_body_is_explained_in_words_of_json(self, unwarmed: Unwarmed, body: bytes, told: str) -> None:
        with unwarmed() as client:
            assert detail(client.post(SEARCH, content=body, headers={"Content-Type": "application/json"})) == told

    @pytest.mark.parametrize("body", [b"[]", b" [ ] "])
    def test_no_records_are_told_to_be_none(self, unwarmed: Unwarmed, body: bytes) -> None:
        with unwarmed() as client:
            refused = client.put(DOCUMENTS, content=body)
        assert detail(refused) == "body: the array is empty: send one record at least"


class TestUnknownKeys:
    @pytest.mark.parametrize("path", [SEARCH, "/mcp", "/v1/embeddings"])
    def test_they_are_told_how_a_key_is_sent(self, unwarmed: Unwarmed, tmp_path: Path, path: str) -> None:
        keys = Keys(tmp_path / "keys.json")
        keys.add(["*"], ["search"])
        with unwarmed(keys=keys.path) as client:
            refused = client.post(path, json={"query": "a", "model": "mini", "input": "a"})
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        if path == "/mcp":
            assert refused.json()["request_id"] == refused.headers["X-Request-ID"]


class TestDescription:
    @pytest.fixture
    def document(self, unwarmed: Unwarmed) -> dict[str, Any]:
        with unwarmed(longest_deadline_ms=7_000) as client:
            document: dict[str, Any] = client.get("/openapi.json").json()
        return document

    def test_problems_are_described_as_they_come(self, document: dict[str, Any]) -> None:
        told = document["paths"][SEARCH.replace("builddaily/resources", "{site}/{collection}")]["post"]["responses"]
        for status in ("default", "401", "403", "404", "413", "415", "422", "429"):
            ((kind, content),) = told[status]["content"].items()
            assert kind == MEDIA_TYPE
            assert content["schema"]["$ref"].rpartition("/")[2] in document["components"]["schemas"]
        assert "`NotJson`: The body is not said to be JSON." in told["415"]["description"]

    def test_the_statuses_that_are_named_are_those_of_errors(self, document: dict[str, Any]) -> None:
        named = {
            int(status)
            for operations in document["paths"].values()
            for operation in operations.values()
            for status in operation["responses"]
            if status.isdecimal() and int(status) >= 400
        }
        assert named <= set(STATUS.values())
        assert {401, 403, 404, 409, 413, 415, 422, 429, 503, 504} <= named

    def test_the_time_that_a_request_has_at_most_is_told(self, document: dict[str, Any]) -> None:
        assert "7000 ms at most" in document["info"]["description"]


class TestPageOfRoutes:
    def test_it_names_every_route_and_reads_nothing_from_elsewhere(self, unwarmed: Unwarmed) -> None:
        with unwarmed() as client:
            described = client.get("/openapi.json").json()
            page = client.get("/docs")
            assert client.get("/redoc").status_code == 404
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        for path, operations in described["paths"].items():
            for method in operations:
                assert f"<td>{method.upper()}</td><td><code>{path}</code></td>" in page.text
        assert "<code>query</code> (required)" in page.text
        assert not re.search("https?:", page.text)
        assert not [place for place in ("{version}", "{about}", "{routes}") if place in page.text]


def test_health_and_pages_answer_head(unwarmed: Unwarmed) -> None:
    with unwarmed() as client:
        for path in ("/", "/docs", "/livez", "/readyz"):
            assert client.head(path).status_code == client.get(path).status_code != 405


def test_no_stream_of_mcp_is_held_open(unwarmed: Unwarmed) -> None:
    """It would say nothing, and hold up the end of the service."""
    with unwarmed() as client:
        refused = client.get("/mcp", headers={"Accept": "text/event-stream"})
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")

"""What no client may do: send too much, too slowly, or more at a time than is worked on; and one that leaves."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from overfetch import SettingsError
from overfetch.leaving import whether_left
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker
from overfetch_serve.agents.server import Agents, arguments_of
from overfetch_serve.errors import Busy
from overfetch_serve.keys import ANYBODY, Keys
from overfetch_serve.service import Service
from overfetch_serve.turns import Turns

SEARCH, ASK = "/v1/builddaily/resources/search", "/v1/builddaily/chat/ask"
BODY = b'{"query": "a cross-encoder"}'
JSON = {"Content-Type": "application/json"}

Opened = Callable[..., FastAPI]


@pytest.mark.parametrize("path", [SEARCH, "/v1/nosite/chat/ask", "/mcp", "/nowhere"])
def test_a_body_that_is_too_large_is_refused(opened: Opened, path: str) -> None:
    with TestClient(opened(body_bytes=100)) as client:
        for content in (b" " * 101, iter([b" " * 60, b" " * 41])):
            answered = client.post(path, content=content)
            assert (answered.status_code, answered.json()["type"]) == (413, "BodyTooLarge")
            assert answered.headers["connection"] == "close"
        assert client.post(SEARCH, headers=JSON, content=BODY + b" " * (100 - len(BODY))).status_code == 200


SOON_S = 10  # of the processor, however slow: what was wrong took several times as long
MANY = 500_000
WRONG = {  # of one list each: what is wrong with it must not be said of each
    f"{SEARCH} where": {"query": "a", "where": [0] * MANY},
    f"{SEARCH} values": {"query": "a", "where": [{"field": "kind", "values": [0] * MANY}]},
    f"{ASK} history": {"question": "a", "history": [0] * MANY},
    f"{ASK} parts": {"question": "a", "parts": [0] * MANY},
    "/v1/embeddings input": {"model": "mini", "input": ["a"] * (MANY // 2)},
    "/v1/embeddings tokens": {"model": "mini", "input": [[]] * (MANY // 2 - 1) + [["a"]]},
    "/v1/rerank rank_fields": {"query": "a", "documents": ["a"], "rank_fields": [0] * MANY},
    "/v1/rerank documents": {"query": "a", "documents": [0] * MANY},
    "/rerank texts": {"query": "a", "texts": [0] * MANY},
    "/v1/chat/completions messages": {"model": "builddaily", "messages": [0] * MANY},
    "/v1/chat/completions content": {"model": "builddaily", "messages": [{"role": "user", "content": [0] * MANY}]},
    "/v1/chat/completions overfetch": {
        "model": "builddaily",
        "messages": [{"role": "user", "content": "a"}],
        "overfetch": {"where": [0] * MANY},
    },
    f"{SEARCH} keys": {"query": "a", **dict.fromkeys(map(str, range(MANY // 5)), 0)},
    "/v1/embeddings keys": {"model": "mini", "input": "a", **dict.fromkeys(map(str, range(MANY // 5)), 0)},
}


@pytest.mark.parametrize("named", WRONG)
def test_what_is_wrong_a_hundred_thousand_times_holds_up_nobody(opened: Opened, named: str) -> None:
    """Bodies are read by the event loop: explaining 500,000 conditions of a search took it half a minute."""
    client, body = TestClient(opened(body_bytes=2_000_000)), json.dumps(WRONG[named])
    began = time.process_time()
    refused = client.post(named.partition(" ")[0], headers=JSON, content=body)
    assert time.process_time() - began < SOON_S
    assert refused.status_code in (400, 413, 422)
    assert len(refused.text) < 3_000


def test_an_agent_is_told_the_first_that_is_wrong(opened: Opened) -> None:
    agents = Agents(opened().state.service, lambda context: ANYBODY)
    began = time.process_time()
    with pytest.raises(SettingsError, match=r"filters\.kind\.0"):
        arguments_of(agents.tools["search_builddaily_resources"], {"query": "a", "filters": {"kind": [0] * MANY}})
    assert time.process_time() - began < SOON_S


async def test_documents_are_read_while_others_are_answered(opened: Opened) -> None:
    """Though reading them takes the processor: no record is so long that the loop would wait for it."""
    records = [{"id": str(number), "title": "T", "text": "word " * 5} for number in range(200_000)]
    client = Client(opened(), "/v1/builddaily/chat/documents")
    client.scope["method"] = "PUT"
    client.send(json.dumps(records).encode() + b"]")
    answering, longest = asyncio.create_task(client.answered()), 0.0
    await asyncio.sleep(0)
    while not answering.done():
        began = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - began)
    assert client.received[0]["status"] == 422
    assert b"Expecting" in client.received[1]["body"] or b"Extra" in client.received[1]["body"]
    assert longest < 0.5, "all of them take seconds"


def test_a_vendors_route_refuses_in_the_vendors_shape(opened: Opened) -> None:
    with TestClient(opened(body_bytes=100)) as client:
        answered = client.post("/v1/chat/completions", content=b" " * 101)
    assert answered.status_code == 413
    assert answered.json()["error"]["type"] == "invalid_request_error"


def test_documents_may_be_larger(opened: Opened) -> None:
    with TestClient(opened(body_bytes=100, document_bytes=200)) as client:
        path = "/v1/builddaily/chat/documents"
        assert client.post(path, content=b" " * 200).status_code != 413
        assert client.post(path, content=b" " * 201).status_code == 413


def test_only_who_may_write_documents_sends_as_much(opened: Opened, tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys.json")
    admin, reader = keys.add(("builddaily",), ("admin",))[1], keys.add(("builddaily",), ("search",))[1]
    with TestClient(opened(body_bytes=100, document_bytes=200, keys=keys.path)) as client:
        path, large = "/v1/builddaily/chat/documents", b" " * 200
        answered = [client.post(path, headers={"X-API-Key": key}, content=large) for key in (admin, reader, "of_a_b")]
        assert [one.status_code == 413 for one in answered] == [False, True, True]
        assert client.post(path, content=large).status_code == 413
        assert client.put(path, headers=JSON, content=b"[{}]").status_code == 401


class Client:
    """Speaks ASGI to an application, with what it sends and when in the test's hands."""

    def __init__(self, app: FastAPI, path: str) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.received: list[dict[str, Any]] = []
        headers = [(b"content-type", b"application/json"), (b"accept", b"application/json")]
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        self.app = app

    def send(self, body: bytes, more_body: bool = False) -> None:
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": more_body})

    def leave(self) -> None:
        self.messages.put_nowait({"type": "http.disconnect"})

    async def answered(self) -> None:
        async def receive(message: Any) -> None:
            self.received.append(message)

        await self.app(self.scope, self.messages.get, receive)


async def test_a_body_that_comes_too_slowly_is_refused(opened: Opened) -> None:
    client = Client(opened(body_timeout_s=0.02), SEARCH)
    client.send(BODY[:5], more_body=True)
    await client.answered()
    assert client.received[0]["status"] == 408


async def test_who_leaves_while_sending_is_not_answered(opened: Opened) -> None:
    client = Client(opened(), SEARCH)
    client.send(BODY[:5], more_body=True)
    client.leave()
    await client.answered()
    assert client.received == []


class Waiting(FakeReranker):
    """Reads until whoever asked has left."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.left = threading.Event(), threading.Event()

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        self.began.set()
        if whether_left().wait(10):
            self.left.set()
        return RerankScores([], 0)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[Service]:
    async with app.router.lifespan_context(app):
        service: Service = app.state.service
        yield service


@pytest.mark.parametrize("path", [SEARCH, ASK])
async def test_the_work_for_who_has_left_ends(opened: Opened, path: str) -> None:
    async with lifespan(app := opened()) as service:
        engine, reading = service.engine("builddaily"), Waiting()
        engine.reranker = reading
        client = Client(app, path)
        client.send(BODY if path is SEARCH else BODY.replace(b"query", b"question"))
        answering = asyncio.create_task(client.answered())
        assert await asyncio.to_thread(reading.began.wait, 10)
        assert service.turns.working == 1
        client.leave()
        await answering
        assert client.received == []
        assert service.turns.working == service.asks.working == 0
        assert await asyncio.to_thread(reading.left.wait, 10)


async def test_more_than_may_wait_are_told_when_to_come_again(opened: Opened) -> None:
    async with lifespan(app := opened(concurrency=1, waiting=1)) as service:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            async with service.turns.taken():
                waiting = asyncio.create_task(client.post(SEARCH, headers=JSON, content=BODY))
                while not (service.turns.waiting or waiting.done()):
                    await asyncio.sleep(0)
                refused = await client.post(SEARCH, headers=JSON, content=BODY)
            assert (await waiting).status_code == 200
    assert (refused.status_code, refused.json()["type"]) == (429, "Busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert "1 requests are worked on and 1 wait already" in refused.json()["detail"]


async def test_questions_have_a_bound_of_their_own(opened: Opened) -> None:
    async with lifespan(app := opened(asking=1)) as service:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            async with service.asks.taken():
                assert (await client.post(ASK, json={"question": "So?"})).status_code == 429
                assert (await client.post(SEARCH, headers=JSON, content=BODY)).status_code == 200
            assert (await client.post(ASK, json={"question": "So?"})).status_code == 200


async def test_the_wait_is_estimated_from_what_waits_and_how_long_turns_take() -> None:
    now = [0.0]
    turns = Turns(concurrency=2, waiting=3, clock=lambda: now[0])
    assert turns.seconds_to_wait == 0
    async with turns.taken():
        now[0] += 8
    assert turns.seconds_to_wait == 4, "one more, of eight seconds, with two at a time"
    async with turns.taken():
        now[0] += 18
    assert turns.seconds_to_wait == pytest.approx((8 + 0.1 * 10) / 2)
    release = asyncio.Event()

    async def hold() -> None:
        async with turns.taken():
            await release.wait()

    holding = [asyncio.create_task(hold()) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Busy, match="2 requests are worked on and 3 wait") as refused:
        async with turns.taken():
            pass
    assert refused.value.seconds == pytest.approx(4 * 9 / 2)
    release.set()
    await asyncio.gather(*holding)


async def test_a_turn_is_waited_for_within_the_requests_time(opened: Opened) -> None:
    async with lifespan(app := opened(concurrency=1)) as service:
        transport = httpx.ASGITransport(app)
        asking = httpx.AsyncClient(transport=transport, base_url="http://here")
        async with asking as client, service.turns.taken():
            found = (await client.post(SEARCH, json={"query": "a tool", "deadline_ms": 2})).json()
            rerank = {"model": "mini", "query": "a tool", "documents": ["a tool"] * 20}
            late = await client.post("/v2/rerank", json=rerank, headers={"Overfetch-Deadline-Ms": "2"})
    assert found["rerank_status"] == "skipped"
    assert found["rerank_reason"].startswith("the deadline of 2.0 ms allowed 0 of")
    assert (late.status_code, late.json()["message"][:23]) == (429, "beside other requests, ")
    assert found["hits"]

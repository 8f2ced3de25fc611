"""Over real sockets: heads that are too large or too slow, and who leaves while it is answered."""

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from language_model import Messages, Model, in_chat, passages, quote
from listening import listening, until

from overfetch import Environment, Workspace
from overfetch_serve import create_app
from overfetch_serve.running import server_options
from overfetch_serve.service import Service
from overfetch_serve.settings import ServiceSettings

SECONDS = 30  # until what is sure to happen counts as not happening


@pytest.fixture(scope="module")
def port(samples: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    settings = ServiceSettings(
        state=tmp_path_factory.mktemp("state"), head_bytes=4_096, head_timeout_s=1, body_bytes=9_999
    )
    app = create_app(["builddaily"], workspace=Workspace(samples), settings=settings)
    with listening(app, **server_options(settings)) as address:
        yield int(address.rpartition(":")[2])


def sent(port: int, *pieces: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


def test_a_head_that_is_too_large_is_refused(port: int) -> None:
    assert sent(port, b"GET /livez HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 5_000).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("pieces", [(), (b"GET /livez HT",), (b"GET /livez HTTP/1.1\r\nHost: here\r\n\r\n", b"GET /l")])
def test_a_connection_whose_head_does_not_come_is_closed(port: int, pieces: tuple[bytes, ...]) -> None:
    """One that was answered before, too."""
    answered = sent(port, *pieces)
    assert answered.count(b"200 OK") == len(pieces) // 2


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(port: int) -> None:
    head = b"POST /v1/builddaily/chat/ask HTTP/1.1\r\nHost: here\r\n"
    declared = sent(port, head + b"Content-Length: 10000\r\nExpect: 100-continue\r\n\r\n")
    assert declared.startswith(b"HTTP/1.1 413")
    chunked = sent(port, head + b"Transfer-Encoding: chunked\r\n\r\n2710\r\n" + b" " * 10_000)
    assert chunked.startswith(b"HTTP/1.1 413")
    answered = httpx.post(f"http://127.0.0.1:{port}/v1/builddaily/chat/ask", content=b" " * 3_000_000)
    assert answered.status_code == 413


def test_who_leaves_an_answer_leaves_nothing_running(samples: Environment, tmp_path: Any) -> None:
    model = Model()

    def endless(messages: Messages) -> str:
        return in_chat([quote(passages(messages)[0])], "It says so, and says it again [1]. " * 20_000)

    model.reply = endless
    settings = ServiceSettings(state=tmp_path)
    with model.running():
        answered_by = {"lm": "openai/rules", "lm_api_base": model.address, "lm_retries": 0}
        workspace = Workspace(samples.model_copy(update=answered_by))
        app = create_app(["builddaily"], workspace=workspace, settings=settings)
        service: Service = app.state.service
        with listening(app, **server_options(settings)) as address:
            url, accept = f"{address}/v1/builddaily/chat/ask", {"Accept": "text/event-stream"}
            with httpx.stream("POST", url, json={"question": "What is Sage Daily?"}, headers=accept) as answer:
                lines = answer.iter_lines()  # held: once it is collected, the connection is closed
                assert "event: delta" in lines
                assert service.asks.working == 1
            until(lambda: model.ended == 1 and service.asks.working == 0, SECONDS)
    assert model.whole == 0

"""Requests that no honest client sends: valid ones of every route with something in them replaced, as raw bytes."""

import contextlib
import json
import random
import socket
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

AGENTS = "/mcp"
RPC = {"jsonrpc": "2.0", "id": 1}
CHAT = {"messages": [{"role": "user", "content": "boats?"}]}


class Asked(NamedTuple):
    """A request, and whether it must be refused or may be answered without the other site."""

    method: str
    path: str
    body: Any = None
    refused: bool = True


class Raw(NamedTuple):
    """Bytes of a request; where they are `broken`, the server may hang up instead of answering."""

    head: bytes
    body: bytes
    broken: bool

    def __repr__(self) -> str:
        return f"{self.head[:160]!r} + {len(self.body)} bytes: {self.body[:100]!r}"


def of_another_site(site: str, collection: str) -> Iterator[Asked]:
    """Every route by which something of the site could be read."""
    place = f"/v1/{site}/{collection}"
    for path in ("", "/values/title", "/passages/Hydra%230", "/documents/Hydra", "/documents/Hydra.md"):
        yield Asked("GET", place + path)
    yield Asked("POST", f"{place}/search", {"query": "boats", "include_candidates": True})
    yield Asked("POST", f"{place}/ask", {"question": "boats?"})
    yield Asked("GET", f"/v1/models/{site}")
    yield Asked("GET", f"/v1/models/{site}/{collection}")
    for model in (site, f"{site}/{collection}"):
        yield Asked("POST", "/v1/chat/completions", {**CHAT, "model": model})
        yield Asked("POST", "/v1/chat/completions", {**CHAT, "model": model, "stream": True})
    for path in ("/v1/sites", "/v1/models", "/readyz", "/metrics", "/openapi.json"):
        yield Asked("GET", path, refused=False)
    for verb in ("search", "ask"):
        arguments = {"query": "boats", "question": "boats?"}
        named = {"name": f"{verb}_{site}_{collection}", "arguments": arguments}
        yield Asked("POST", AGENTS, {**RPC, "method": "tools/call", "params": named}, refused=False)
    yield Asked("POST", AGENTS, {**RPC, "method": "tools/list"}, refused=False)


def _valid(site: str, collection: str) -> list[Asked]:
    """One of each route."""
    place = f"/v1/{site}/{collection}"
    documents = ["Boats leave at nine.", "Cats sleep."]
    return [
        Asked("POST", f"{place}/search", {"query": "boats", "top_k": 5, "where": [], "deadline_ms": 2_000}),
        Asked("POST", f"{place}/ask", {"question": "boats?", "parts": [], "history": []}),
        Asked("POST", "/v2/rerank", {"model": "mini", "query": "boats", "documents": documents, "top_n": 1}),
        Asked("POST", "/v1/rerank", {"query": "boats", "documents": [{"text": "Boats."}], "rank_fields": ["text"]}),
        Asked("POST", "/rerank", {"query": "boats", "texts": documents, "raw_scores": True}),
        Asked("POST", "/v1/embeddings", {"model": "mini", "input": documents, "input_type": "query"}),
        Asked("POST", "/v1/chat/completions", {**CHAT, "model": site, "stream": False}),
        Asked("POST", AGENTS, {**RPC, "method": "tools/list", "params": {}}),
        Asked("GET", place),
        Asked("GET", f"{place}/values/title"),
        Asked("GET", f"{place}/passages/Hydra%230"),
        Asked("GET", f"{place}/documents/Hydra"),
        Asked("GET", "/v1/models/mini"),
        Asked("GET", "/v1/sites"),
        Asked("GET", "/readyz"),
        Asked("GET", "/metrics"),
        Asked("GET", "/"),
    ]


def _deep(opening: str, closing: str, depth: int = 50_000) -> str:
    return opening * depth + closing * depth


# As they stand in JSON: not all can be made by a writer of JSON.
VALUES = [
    *("null", "true", "-1", "0", "1e999", "-1e999", "NaN", "Infinity", "1.5", "9" * 400, "1e308", '""', "[]", "{}"),
    *('"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"\\udfff\\ud800"', '"\\uffff\\ufeff"', '"\\u202e\\u0301"', "[[]]"),
    *('"%s"' % ("x" * 40_000), '"%s"' % ("\u0301" * 20_000), '"%s"' % ("😀" * 9_000), '["x"]', "[null]", '[{"": {}}]'),
    *(
        "[" + ",".join(['"x"'] * 300) + "]",
        _deep("[", "]"),
        _deep('{"a":', "}").replace(":}", ":1}", 1),
        '{"$ref":"#"}',
    ),
    *('"2026-99-99"', '"date>=0000-01-01"', '"\'; DROP TABLE checked; --"', '"../../etc/passwd"', '"${jndi:ldap://x}"'),
    *('"title=\\u0000"', '["title=x"]', '["a=b=c"]', '[{"field":"title","any_of":["x"]}]', '"٣"', "0x10", "01"),
]
BODIES = [
    *(
        b"",
        b"{",
        b"null",
        b"[]",
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"query": "\xc3\x28"}',
        b"{}" * 9,
    ),
    *(
        b'{"query": "\xed\xa0\x80"}',
        b"\x1f\x8b\x08\x00",
        b"query=boats",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b"9" * 5_000,
    ),
    *(b'{"query":1,"query":2}', b"\x80" * 1_000, b"{}" + b" " * 900_000, b'{"query": "' + b"x" * 2_000_000 + b'"}'),
]
HEADERS = [
    *("Overfetch-Deadline-Ms: nan", "Overfetch-Deadline-Ms: inf", "Overfetch-Deadline-Ms: -1", "Accept: \xff"),
    *("Overfetch-Deadline-Ms: 1e400", "Overfetch-Deadline-Ms: ", "Overfetch-Deadline-Ms: 1e-300", "Cookie: ="),
    *("Accept: text/event-stream", "Accept: text/event-stream\x0b", "X-Request-ID: " + "x" * 9_000, "Range: bytes=0-1"),
    *("X-Request-ID: a\x01b", "X-Request-ID: é", "X-HTTP-Method-Override: DELETE", "X-Forwarded-For: 127.0.0.1"),
    *("Content-Encoding: gzip", "Expect: 100-continue", "Connection: upgrade\r\nUpgrade: websocket", "Host: other"),
    *("Content-Type: text/plain", "Content-Type: application/json; charset=utf-7", "Content-Type: multipart/form-data"),
    *("traceparent: 00-zz-zz-zz", "traceparent: " + "0" * 9_000, "Origin: null", "Origin: http://evil.example"),
    *(
        "Authorization: Bearer ",
        "Authorization: Basic Og==",
        "X-API-Key: \xe9",
        "X-API-Key: of__",
        "X-Original-URL: /metrics",
    ),
    *("Mcp-Session-Id: ../../x", "Mcp-Protocol-Version: 9", "Last-Event-ID: -1", "Accept-Encoding: *;q=\xff"),
]
# The server may hang up on these, or read two requests where one was meant.
BREAKING = [
    *("Content-Length: 1", "Content-Length: -1", "Transfer-Encoding: chunked", "Content-Length: 99999999999999999999"),
    *("Bad Header: x", "X: " + "y" * 70_000, "\x00: x", "X: a\r\n b", "Content-Length: 5\r\nContent-Length: 6", ": x"),
    *("Host: a\r\nHost: b", "Transfer-Encoding: gzip, chunked", "Content-Length: +5", "Content-Length: ٥"),
]
METHODS = ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "GET", "POST", "PROPFIND"]
TAILS = [
    "",
    "/",
    "//",
    "/.",
    "/..",
    "%00",
    "%2e%2e",
    "?a=%ff",
    "?" + "q=1&" * 3_000,
    "#x",
    ";x=1",
    "%",
    "%zz",
    "\\",
    "%0d%0aX:y",
]


def _paths(own: str, other: str, collection: str) -> list[str]:
    """Ways to write the other site that a check of the key may not see."""
    end = f"{collection}/search"
    return [
        *(f"/v1/{own}/../{other}/{end}", f"/v1/{own}%2f..%2f{other}/{end}", f"/v1/{own}/%2e%2e/{other}/{end}"),
        *(f"//v1/{other}/{end}", f"/v1//{other}/{end}", f"/v1/{other.upper()}/{end}", f"/v1/{other}%00/{end}"),
        *(f"/v1/{own}/{collection}/documents/../../../{other}/{end}", f"/v1/{other}%20/{end}", f"/v1/{other};/{end}"),
        *(f"http://127.0.0.1/v1/{other}/{end}", f"/v1/{own}%2f{other}/{end}", f"/v1/*/{end}", f"/v1/%252e/{end}"),
        *(f"/v1/{own}/..%2f{other}%2f{collection}/search", f"/v1/{own},{other}/{end}", "*", "/v1/" + "a/" * 9_000),
        *(f"/v1/{own}/{other}/search", f"/v1/{own}/{other}%2f{collection}/search", f"/v1/models/{own}/../{other}"),
        *(f"/v1/{own}/{collection}/passages/{'x' * 9_000}", f"/v1/{own}/{collection}/values/%00", "/docs/../metrics"),
        *(
            f"/v1/{own}/{collection}/documents/..%2f..%2f{other}%2fHydra.md",
            "/static/../../../../etc/passwd",
            "/%2e%2e/",
        ),
    ]


def request(chance: random.Random, key: str, broken_key: str, own: str, other: str, collection: str) -> Raw:
    """A valid request with one thing or two replaced."""
    site = chance.choice([own, own, own, other])
    asked = chance.choice(_valid(site, collection))
    method, path, extra, broken = asked.method, asked.path, list[str](), False
    body = b"" if asked.body is None else json.dumps(asked.body).encode()
    for trick in chance.sample(["value", "value", "body", "path", "tail", "header", "breaking", "method"], 2):
        if trick == "value" and isinstance(asked.body, dict):
            body = _with_value(chance, asked.body)
        elif trick == "body":
            body = chance.choice(BODIES)
        elif trick == "path":
            path = chance.choice(_paths(own, other, collection))
        elif trick == "tail":
            path += chance.choice(TAILS)
        elif trick == "header":
            extra.append(chance.choice(HEADERS))
        elif trick == "method":
            method = chance.choice(METHODS)
        elif trick == "breaking":
            extra.append(chance.choice(BREAKING))
            broken = True
    given = broken_key if chance.random() < 0.05 else key
    lines = [f"{method} {path} HTTP/1.1", "Connection: close", f"Authorization: Bearer {given}", *extra]
    lines += [f"Content-Length: {len(body)}"] if body and not any("Content-Length" in one for one in extra) else []
    lines += [] if any("Host" in one for one in extra) else ["Host: 127.0.0.1"]
    lines += [] if any("Content-Type" in one for one in extra) else ["Content-Type: application/json"]
    head = "\r\n".join([*lines, "", ""]).encode("utf-8")
    return Raw(head, body, broken or len(head) > 30_000)


def _with_value(chance: random.Random, body: dict[str, Any]) -> bytes:
    """One field hostile, or one that nobody knows; at times its name too."""
    values = {name: json.dumps(value) for name, value in body.items()}
    name = chance.choice([*values, *values, "deadline_ms", "as_of", "near", "where", "unknown", "\\u0000"])
    values[name] = chance.choice(VALUES)
    return ("{" + ",".join(f'"{name}":{value}' for name, value in values.items()) + "}").encode(
        "utf-8", "surrogatepass"
    )


def send(address: str, asked: Raw, patience_s: float) -> tuple[int | None, bytes]:
    """Status, None where the server hung up without one, and all bytes that came back."""
    place = urlsplit(address)
    assert place.hostname is not None
    came = bytearray()
    try:
        with socket.create_connection((place.hostname, place.port or 80), timeout=patience_s) as connection:
            _try(lambda: connection.sendall(asked.head + asked.body))
            _try(lambda: _receive(connection, came))
    except TimeoutError:
        return None, b"nothing came in time"
    status = bytes(came[9:12]) if came.startswith(b"HTTP/1.") else b""
    return (int(status), bytes(came)) if status.isdigit() else (None, bytes(came))


def _receive(connection: socket.socket, into: bytearray) -> None:
    while piece := connection.recv(65_536):
        into += piece


def _try(do: Callable[[], object]) -> None:
    """The other side may end the connection in the midst of it."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        do()

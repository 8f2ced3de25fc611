"""A small real server on 127.0.0.1: a model scores, in the shape of the server that it stands for.

It refuses what the real one refuses, and `faults` are what goes wrong with the next requests.
"""

import json
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LIMIT = 32  # of TEI, by default

Fault = Callable[["Handler"], bool]


class ModelServer(ThreadingHTTPServer):
    """`score` gives logits of (query, texts), `embed` vectors of texts; both are really called."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, score: Callable[[str, list[str]], Sequence[float]], embed: Callable[[list[str]], Any]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.score = score
        self.embed = embed
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.connections = 0
        self.faults: deque[Fault] = deque()
        self.alter: Callable[[Any], Any] = lambda reply: reply
        self.lock = threading.Lock()
        self.idle = threading.Condition(self.lock)
        self.active = 0
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ModelServer

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_POST(self) -> None:
        with self.server.lock:
            self.server.active += 1
        try:
            self._reply()
        except ConnectionError:
            self.close_connection = True  # whoever asked did not wait
        finally:
            with self.server.idle:
                self.server.active -= 1
                self.server.idle.notify_all()

    def _reply(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.bodies.append(body)
            self.server.keys.append(self.headers["Authorization"])
            fault = self.server.faults.popleft() if self.server.faults else None
        if fault is not None and fault(self):
            return
        answer = {"embeddings": self._embeddings, "rerank": self._rerank}[self.path.rpartition("/")[2]]
        self.answer(*answer(body))

    def answer(self, status: int, reply: Any, **headers: str) -> None:
        content = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _rerank(self, body: dict[str, Any]) -> tuple[int, Any]:
        dialect = self.path.strip("/").split("/")[0]
        texts = body.get("texts" if dialect == "tei" else "documents")
        if not texts:
            return 422, {"error": f"missing field `{'texts' if dialect == 'tei' else 'documents'}`"}
        if dialect == "tei" and len(texts) > LIMIT:
            return 422, {"error": f"batch size {len(texts)} > maximum allowed batch size {LIMIT}"}
        logits = self.server.score(body["query"], texts)
        is_raw = body.get("raw_scores") is True or body.get("use_activation") is False
        scores = [logit if is_raw else 1 / (1 + math.exp(-logit)) for logit in logits]
        name = "score" if dialect == "tei" else "relevance_score"
        ranks: list[dict[str, Any]] = [{"index": index, name: score} for index, score in enumerate(scores)]
        if dialect == "vllm":
            ranks = [{**rank, "document": {"text": texts[rank["index"]]}} for rank in ranks]
        random.Random(len(texts)).shuffle(ranks)
        return 200, self.server.alter(ranks if dialect == "tei" else {"model": body["model"], "results": ranks})

    def _embeddings(self, body: dict[str, Any]) -> tuple[int, Any]:
        if len(body["input"]) > LIMIT:
            return 413, {"message": f"batch size {len(body['input'])} > maximum allowed batch size {LIMIT}"}
        vectors = self.server.embed(body["input"]).tolist()
        data = [{"object": "embedding", "index": i, "embedding": vector} for i, vector in enumerate(vectors)]
        random.Random(len(data)).shuffle(data)
        return 200, self.server.alter({"object": "list", "data": data, "model": body["model"]})

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


def status(code: int, **headers: str) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.answer(code, {"error": "model is overloaded"}, **headers)
        return True

    return fault


def cut(handler: Handler) -> bool:
    """The connection breaks in the middle of a reply."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"results": [')
    handler.close_connection = True
    return True


def garbage(content: bytes) -> Fault:
    def fault(handler: Handler) -> bool:
        handler.answer(200, content)
        return True

    return fault


def late(handler: Handler) -> bool:
    """No reply for a minute."""
    return handler.server.closing.wait(60)


def drip(handler: Handler) -> bool:
    """A reply that never ends, a byte every 50 ms."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not handler.server.closing.wait(0.05):
        handler.wfile.write(b" ")
    handler.close_connection = True
    return True


@contextmanager
def serving(score: Callable[..., Any], embed: Callable[..., Any]) -> Iterator[ModelServer]:
    server = ModelServer(score, embed)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
        with server.idle:  # a thread in the middle of a model run would not survive the end of the process
            server.idle.wait_for(lambda: server.active == 0)

"""A Qdrant server for tests: real HTTP and real gRPC on 127.0.0.1, over qdrant-client's in-memory engine.

Every request is parsed by qdrant-client's own request models, which refuse unknown fields (over gRPC: by its
protobuf messages and converters), every response is made of its response models. What this cannot show is what a
real server makes of a valid request: index, shards, quantisation and disk are accepted and without effect here.

As a server in strict mode does, it refuses filters on fields that have no payload index, and requests that are
larger than a server takes. `faults` and `statuses` (of collections) are used up by the requests that come next.
"""

import json
import re
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from qdrant_client import QdrantClient, models

ALLOWED_PARAMETERS = {"wait", "timeout"}
LARGEST_REQUEST = 32 * 1024 * 1024


class Fault(NamedTuple):
    """What happens to one request instead of its answer. `reset` cuts the connection, before or after the work."""

    status: int = 503
    headers: Mapping[str, str] = {}
    reset: Literal["before", "after"] | None = None
    matching: str = ""


class Received(NamedTuple):
    """A request as it came; `model` is what qdrant-client's models read in it."""

    method: str
    path: str
    model: Any
    headers: Mapping[str, str]


class Refused(Exception):
    """A request that a server would not take."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class QdrantDouble:
    """The engine behind both protocols; `received` holds every request."""

    def __init__(self) -> None:
        self.engine = QdrantClient(":memory:")  # not thread-safe, hence the lock
        self.lock = threading.Lock()
        self.received: list[Received] = []
        self.faults: deque[Fault] = deque()
        self.statuses: deque[models.CollectionStatus] = deque()
        self.indexes: dict[str, dict[str, Any]] = {}
        self.version = "1.20.0"
        self.at_once = self.most_at_once = 0

    def paths(self, method: str, ending: str) -> list[Received]:
        return [r for r in self.received if r.method == method and r.path.endswith(ending)]

    def next_fault(self, what: str) -> Fault | None:
        with self.lock:
            return self.faults.popleft() if self.faults and self.faults[0].matching in what else None

    def do(self, method: str, path: str, model: Any, headers: Mapping[str, str]) -> Any:
        """One request; raises Refused."""
        with self.lock:
            self.received.append(Received(method, path, model, headers))
            try:
                return self._do(method, path.strip("/").split("/"), model)
            except ValueError as error:  # the engine's only kind of error
                raise Refused(404 if "not found" in str(error) else 400, str(error)) from error

    def _do(self, method: str, parts: list[str], model: Any) -> Any:
        match method, parts:
            case "GET", [""]:
                return models.VersionInfo(title="qdrant - vector search engine", version=self.version)
            case "GET", ["aliases"]:
                return self.engine.get_aliases()
            case "POST", ["collections", "aliases"]:
                return self.engine.update_collection_aliases(model.actions)
            case "GET", ["collections"]:
                return self.engine.get_collections()
            case _, ["collections", name]:
                return self._collection(method, name, model)
            case "GET", ["collections", name, "exists"]:
                return models.CollectionExistence(exists=self.engine.collection_exists(name))
            case "PUT", ["collections", name, "index"]:
                self.indexes.setdefault(self._resolved(name), {})[model.field_name] = model.field_schema
                return models.UpdateResult(operation_id=1, status=models.UpdateStatus.COMPLETED)
            case "POST", ["collections", name, "points"]:
                return self.engine.retrieve(name, model.ids, model.with_payload, model.with_vector)
            case _, ["collections", name, *rest]:
                return self._points("/".join(rest), name, model)
        raise Refused(404, f"no such endpoint: {method} {parts}")

    def _collection(self, method: str, name: str, model: Any) -> Any:
        if method == "GET":
            info = self.engine.get_collection(name)
            return info.model_copy(update={"status": self.statuses.popleft()}) if self.statuses else info
        if method == "DELETE":
            self.indexes.pop(name, None)
            return self.engine.delete_collection(name)
        if method == "PATCH":
            return self.engine.update_collection(name, metadata=model.metadata)
        if self.engine.collection_exists(name):
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        return self.engine.create_collection(
            name,
            vectors_config=model.vectors,
            sparse_vectors_config=model.sparse_vectors,
            metadata=model.metadata,
        )

    def _points(self, what: str, name: str, model: Any) -> Any:
        match what:
            case "points" if isinstance(model, models.PointRequest):
                return self.engine.retrieve(
                    name, model.ids, with_payload=bool(model.with_payload), with_vectors=bool(model.with_vector)
                )
            case "points":
                return self.engine.upsert(name, model.points)
            case "points/delete":
                return self.engine.delete(name, model)
            case "points/count":
                return self.engine.count(name, count_filter=model.filter, exact=model.exact)
            case "facet":
                self._require_index(name, model.key)
                return self.engine.facet(name, model.key, model.filter, model.limit, exact=bool(model.exact))
            case "points/scroll":
                self._require_indexes(name, model.filter)
                wanted = {field: getattr(model, field) for field in ("limit", "offset", "with_payload")}
                found, offset = self.engine.scroll(name, model.filter, **wanted)
                return models.ScrollResult(points=found, next_page_offset=offset)
            case "points/query":
                for prefetch in model.prefetch or []:
                    self._require_indexes(name, prefetch.filter)
                self._require_indexes(name, model.filter)
                fields = {
                    name: getattr(model, name) for name in ("query", "using", "prefetch", "limit", "with_payload")
                }
                if model.prefetch:
                    fields["prefetch"] = [p.model_copy(update={"params": only_idf(p.params)}) for p in model.prefetch]
                return self.engine.query_points(
                    name, query_filter=model.filter, search_params=only_idf(model.params), **fields
                )
        raise Refused(404, f"no such endpoint: {what}")

    def _resolved(self, name: str) -> str:
        return next((a.collection_name for a in self.engine.get_aliases().aliases if a.alias_name == name), name)

    def _require_indexes(self, name: str, only: models.Filter | None) -> None:
        conditions: list[Any] = list(only.must or []) if only else []
        for condition in conditions:
            self._require_index(name, condition.key)

    def _require_index(self, name: str, field: str) -> None:
        if field not in self.indexes.get(self._resolved(name), {}):
            raise Refused(400, f'Bad request: Index required but not found for "{field}"')


def only_idf(params: models.SearchParams | None) -> models.SearchParams | None:
    """What the engine in memory acts on; it warns of the rest."""
    return models.SearchParams(idf=params.idf) if params and params.idf else None


BODIES: list[tuple[str, str, Any]] = [
    ("PUT", r"/collections/[^/]+", models.CreateCollection),
    ("PATCH", r"/collections/[^/]+", models.UpdateCollection),
    ("PUT", r"/collections/[^/]+/index", models.CreateFieldIndex),
    ("PUT", r"/collections/[^/]+/points", models.PointsList),
    ("POST", r"/collections/[^/]+/points", models.PointRequest),
    ("POST", r"/collections/[^/]+/points/delete", models.PointIdsList),
    ("POST", r"/collections/[^/]+/points/count", models.CountRequest),
    ("POST", r"/collections/[^/]+/facet", models.FacetRequest),
    ("POST", r"/collections/[^/]+/points/scroll", models.ScrollRequest),
    ("POST", r"/collections/[^/]+/points/query", models.QueryRequest),
    ("POST", r"/collections/aliases", models.ChangeAliasesOperation),
]


def parse_body(method: str, path: str, body: bytes) -> Any:
    """What the request models make of a body. Raises Refused where they refuse it."""
    if len(body) > LARGEST_REQUEST:
        raise Refused(413, f"Payload reached size limit: {len(body)} bytes")
    for wanted, pattern, type_ in BODIES:
        if method == wanted and re.fullmatch(pattern, path):
            try:
                return TypeAdapter(type_).validate_json(body)
            except ValidationError as error:
                raise Refused(422, f"{type_.__name__}: {error}") from error
    if body:
        raise Refused(400, f"{method} {path} takes no body")
    return None


class Handler(BaseHTTPRequestHandler):
    """REST."""

    double: QdrantDouble
    disable_nagle_algorithm = True

    def handle_any(self) -> None:
        double = self.double
        with double.lock:
            double.at_once += 1
            double.most_at_once = max(double.most_at_once, double.at_once)
        try:
            self._handle_any(double)
        finally:
            with double.lock:
                double.at_once -= 1

    def _handle_any(self, double: QdrantDouble) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        fault = double.next_fault(f"{self.command} {path}")
        if fault and fault.reset == "before":
            return self.reset()
        if fault and fault.reset is None:
            return self.answer(fault.status, {"status": {"error": "not now"}, "time": 0.0}, fault.headers)
        try:
            unknown = dict(parse_qsl(urlsplit(self.path).query)).keys() - ALLOWED_PARAMETERS
            if unknown:
                raise Refused(400, f"unknown parameters: {unknown}")
            result = double.do(self.command, path, parse_body(self.command, path, body), dict(self.headers))
        except Refused as refused:
            return self.answer(refused.status, {"status": {"error": str(refused)}, "time": 0.0}, {})
        if fault:
            return self.reset()
        if path == "/":
            return self.answer(200, to_jsonable_python(result), {})
        return self.answer(200, {"result": to_jsonable_python(result), "status": "ok", "time": 0.0}, {})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any

    def answer(self, status: int, document: object, headers: Mapping[str, str]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def reset(self) -> None:
        """Cuts the connection hard."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    """Many connections at once, as a real server takes them."""

    request_queue_size = 128
    daemon_threads = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that a test cut, or a client that refused our certificate."""

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError):
            super().shutdown_request(request)


@contextmanager
def serve_rest(double: QdrantDouble, certificate: tuple[Path, Path] | None = None, port: int = 0) -> Iterator[str]:
    """The address of the double over HTTP, or HTTPS with a (certificate, key)."""
    with Server(("127.0.0.1", port), type("Bound", (Handler,), {"double": double})) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()

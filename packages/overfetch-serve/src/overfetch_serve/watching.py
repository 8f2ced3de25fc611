"""Who watches the service: each request gets an id, a log line and its place in the figures, each search a span."""

import re
import time
from collections.abc import Callable, MutableMapping
from typing import Any
from uuid import uuid4

from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overfetch.settings import RetrievalSettings
from overfetch.types import RerankStatus, Retrieval
from overfetch_serve.logs import REQUESTS
from overfetch_serve.metrics import Metrics
from overfetch_serve.problems import path_in
from overfetch_serve.seen import Seen, current
from overfetch_serve.tracing import Tracing

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
REQUEST_ID, RERANK_STATUS = "X-Request-ID", "Overfetch-Rerank-Status"
UNKNOWN = "unknown"  # the route of what no route answers: paths are the client's to choose
LEFT = 499  # as nginx logs a client that does not wait for its answer
TOO_MANY = 429


class Watching:
    """Of one application: `metrics`, spans and log lines."""

    def __init__(self, *, trace_content: bool = False, log_queries: bool = False) -> None:
        self.metrics = Metrics()
        self._tracing = Tracing(trace_content)
        self._log_queries = log_queries

    def retrieving(
        self, collection: str, settings: RetrievalSettings, retrieve: Callable[[], list[Retrieval]]
    ) -> list[Retrieval]:
        """Put around every retrieval of the engines (`overfetch.pipeline.Around`); no request waits for a warm-up."""
        seen = current.get()
        if seen is None:
            return retrieve()
        with self._tracing.retrieval(collection, settings) as span:
            try:
                found = retrieve()
            except Exception as error:
                self.metrics.failed(collection, error)
                raise
            for one in found:
                self._tracing.retrieved(span, one, settings.top_n)
        self.metrics.retrieved(found)
        for one in found:
            seen.queries.append(one.query)
            seen.reranked(one.rerank_status)
        return found

    def reranked(
        self,
        model: str,
        *,
        candidates: int,
        top_n: int,
        status: RerankStatus,
        ms: float,
        truncated_tokens: int | None = 0,
    ) -> None:
        """To be called when passages that came with the request were scored, after so many milliseconds."""
        self._tracing.reranked(model, candidates=candidates, top_n=top_n, status=status, ms=ms)
        self.metrics.reranked(model, status, truncated_tokens)
        if (seen := current.get()) is not None:
            seen.reranked(status)

    def answered(self, scope: Scope, seen: Seen, status: int, seconds: float) -> None:
        route = _route_of(scope)
        self.metrics.answered(route, status, seconds)
        if status == TOO_MANY:
            self.metrics.refused("rate" if seen.over_its_rate else "queue")
        fields: dict[str, Any] = {
            "request_id": seen.request_id,
            "key": seen.key,
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1_000, 1),
            "rerank_status": seen.rerank_status,
        }
        if self._log_queries:
            fields["queries"] = seen.queries
        REQUESTS.info("%s %s: %s", scope["method"], route, status, extra={"fields": fields})


class Watched:
    """ASGI middleware: around the whole application, so that what it refuses is seen too."""

    def __init__(self, app: ASGIApp, watching: Watching) -> None:
        self._app = app
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = Seen(_sane(Headers(scope=scope).get(REQUEST_ID)) or uuid4().hex)
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"] = seen.request_id
        began, status = time.perf_counter(), LEFT

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _tell(MutableHeaders(scope=message), seen)
            await send(message)

        token = current.set(seen)
        try:
            await self._app(scope, receive, sending)
        except Exception:
            status = 500
            raise
        finally:
            current.reset(token)
            self._watching.answered(scope, seen, status, time.perf_counter() - began)


def _route_of(scope: Scope) -> str:
    """Also of what was refused before a route was looked for, or only sent on from a slash too many."""
    if isinstance(chosen := scope.get("route"), APIRoute):
        return chosen.path
    path = path_in(scope).rstrip("/") or "/"
    routes = iter_route_contexts(scope["app"].routes)
    return next((str(route.path) for route in routes if route.path_regex.match(path)), UNKNOWN)


def _tell(headers: MutableHeaders, seen: Seen) -> None:
    headers[REQUEST_ID] = seen.request_id
    if seen.rerank_status is not None:
        headers[RERANK_STATUS] = seen.rerank_status


def _sane(given: str | None) -> str | None:
    return given if given is not None and SANE_ID.fullmatch(given) else None

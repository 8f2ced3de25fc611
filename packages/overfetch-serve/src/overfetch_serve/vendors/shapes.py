"""How each vendor says what went wrong: its own statuses and body, by the path that was asked."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Fault(NamedTuple):
    """What went wrong, as any vendor can say it."""

    status: int
    message: str
    request_id: str | None


class Shape(NamedTuple):
    """`statuses` where the vendor has others than the service's own routes."""

    body: Callable[[Fault], dict[str, Any]]
    statuses: Mapping[int, int]


def _cohere(fault: Fault) -> dict[str, Any]:
    return {"id": fault.request_id, "message": fault.message}


def _tei(fault: Fault) -> dict[str, Any]:
    kinds = {424: "Backend", 429: "Overloaded"}
    return {"error": fault.message, "error_type": kinds.get(fault.status, "Validation")}


def _openai(fault: Fault) -> dict[str, Any]:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    usual = "server_error" if fault.status >= 500 else "invalid_request_error"
    said = {"type": kinds.get(fault.status, usual), "code": codes.get(fault.status), "param": None}
    return {"error": {"message": fault.message, **said}}


COHERE = Shape(_cohere, {422: 400})
TEI = Shape(_tei, {422: 413, 500: 424, 503: 424})
OPENAI = Shape(_openai, {422: 400})
SHAPES = {
    "/v2/rerank": COHERE,
    "/v1/rerank": COHERE,
    "/rerank": TEI,
    "/v1/embeddings": OPENAI,
    "/v1/chat/completions": OPENAI,
    "/v1/models": OPENAI,
}


def shape_of(path: str) -> Shape | None:
    """None for the service's own routes."""
    return OPENAI if path.startswith("/v1/models/") else SHAPES.get(path)

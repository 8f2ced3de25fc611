"""How each vendor says what went wrong: its own statuses and body, by the path that was asked."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from pydantic import BaseModel


class Fault(NamedTuple):
    """What went wrong, as any vendor can say it."""

    status: int
    message: str
    request_id: str | None


class CohereError(BaseModel):
    id: str | None
    message: str

    @classmethod
    def of(cls, fault: Fault) -> Self:
        return cls(id=fault.request_id, message=fault.message)


class TeiError(BaseModel):
    error: str
    error_type: str

    @classmethod
    def of(cls, fault: Fault) -> Self:
        kinds = {424: "Backend", 429: "Overloaded"}
        return cls(error=fault.message, error_type=kinds.get(fault.status, "Validation"))


class OpenAIDetail(BaseModel):
    message: str
    type: str
    code: str | None
    param: str | None = None


class OpenAIError(BaseModel):
    error: OpenAIDetail

    @classmethod
    def of(cls, fault: Fault) -> Self:
        kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        usual = "server_error" if fault.status >= 500 else "invalid_request_error"
        kind, code = kinds.get(fault.status, usual), codes.get(fault.status)
        return cls(error=OpenAIDetail(message=fault.message, type=kind, code=code))


class Shape(NamedTuple):
    """`statuses` where the vendor has others than the service's own routes."""

    error: type[CohereError | TeiError | OpenAIError]
    statuses: Mapping[int, int]

    def said(self, status: int, message: str, request_id: str | None) -> tuple[int, dict[str, Any]]:
        """The vendor's own status and body."""
        own = self.statuses.get(status, status)
        return own, self.error.of(Fault(own, message, request_id)).model_dump()

    @property
    def responses(self) -> dict[int | str, dict[str, Any]]:
        """For the description of a route."""
        return {"default": {"model": self.error, "description": "What went wrong, as the vendor says it."}}


COHERE = Shape(CohereError, {422: 400})
TEI = Shape(TeiError, {422: 413, 500: 424, 503: 424})
OPENAI = Shape(OpenAIError, {422: 400})
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

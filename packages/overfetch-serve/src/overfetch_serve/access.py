"""How a route finds the service, and who may use it."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import Headers

from overfetch_serve.keys import Key, Scope
from overfetch_serve.service import Service
from overfetch_serve.vendors.pace import Budget

# For the API's description: `given_key` reads them.
SCHEMES = [
    Security(HTTPBearer(auto_error=False, description="An API key: `of_ID_SECRET`.")),
    Security(APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, for what cannot send Bearer.")),
]

DEADLINE, RAW_SCORES = "Overfetch-Deadline-Ms", "Overfetch-Raw-Scores"
DeadlineHeader = Annotated[
    float | None,
    Header(
        alias=DEADLINE,
        gt=0,
        description="Milliseconds that the request may take; where its body says so too, the smaller counts.",
    ),
]

RawScoresHeader = Annotated[
    bool, Header(alias=RAW_SCORES, description="Whether the cross-encoder's logits alone are asked for.")
]


async def service_of(request: Request) -> Service:
    """The one of the application that the route belongs to."""
    service: Service = request.app.state.service
    return service


CurrentService = Annotated[Service, Depends(service_of)]


def given_key(headers: Headers) -> str | None:
    """`Authorization: Bearer KEY`, or `X-API-Key: KEY` where a client cannot send that."""
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else headers.get("X-API-Key")


def admitted(service: Service, request: Request) -> Key:
    """Who asks, counted against its rate. Raises NotAuthenticated, KeysUnreadable, TooMany."""
    key = service.admit(given_key(request.headers), request.client.host if request.client else "")
    request.state.key = key
    return key


async def key_of(service: CurrentService, request: Request) -> Key:
    return admitted(service, request)


CurrentKey = Annotated[Key, Depends(key_of)]


def allowed(scope: Scope) -> Any:
    """A dependency: the key has the scope and, where the path names a site, may know of that."""

    async def check(key: CurrentKey, request: Request) -> Key:
        key.require(scope, request.path_params.get("site"))
        return key

    return Depends(check)


def budget(service: Service, deadline_ms: float | None) -> Budget:
    """The time of a request, from now on: the wait for its turn counts."""
    turns = service.turns
    return Budget.of(service.milliseconds(deadline_ms), alone=not turns.working, shared=lambda: turns.working > 1)

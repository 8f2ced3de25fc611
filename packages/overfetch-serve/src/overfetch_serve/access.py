"""How a route finds the service, and who may use it."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from overfetch_serve.keys import Key, Scope
from overfetch_serve.service import Service

_bearer = HTTPBearer(auto_error=False, description="An API key: `of_ID_SECRET`.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same, where a client cannot send Bearer.")

DeadlineHeader = Annotated[
    float | None,
    Header(alias="Overfetch-Deadline-Ms", gt=0, description="Milliseconds that the request may take, if its body says nothing."),
]


def service_of(request: Request) -> Service:
    """The one of the application that the route belongs to."""
    service: Service = request.app.state.service
    return service


CurrentService = Annotated[Service, Depends(service_of)]


def key_of(
    service: CurrentService,
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    header: Annotated[str | None, Security(_header)],
) -> Key:
    """Who asks. Raises NotAuthenticated."""
    key = service.key(bearer.credentials if bearer else header)
    request.state.key = key
    return key


CurrentKey = Annotated[Key, Depends(key_of)]


def allowed(scope: Scope) -> Any:
    """A dependency: the key has the scope and, where the path names a site, may know of that."""

    def check(key: CurrentKey, request: Request) -> Key:
        key.require(scope, request.path_params.get("site"))
        return key

    return Depends(check)

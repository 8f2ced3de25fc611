"""`/livez`, `/readyz` and `/metrics`: for who runs the service."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from overfetch.errors import OverfetchError
from overfetch.protocols import Generation
from overfetch.types import Frozen
from overfetch_serve.access import CurrentService, given_key
from overfetch_serve.errors import NotAllowed
from overfetch_serve.paths import without_folders
from overfetch_serve.problems import responses
from overfetch_serve.service import Service
from overfetch_serve.settings import LOOPBACK

router = APIRouter(tags=["operations"])

PATIENCE_S = 2.0  # with the store, for what is stored of each collection


class Health(Frozen):
    """`reason` tells that something is not ready. Which parts there are, and what is wrong, only operators learn."""

    status: str
    reason: str | None = None
    parts: Mapping[str, str] | None = None
    not_indexed: Sequence[str] | None = None


def require_operator(request: Request, service: CurrentService) -> None:
    """A key with scope `admin` for every site; where there are no keys, whoever asks from this machine.

    Not counted as a request. Raises NotAuthenticated, KeysUnreadable, NotAllowed.
    """
    if service.keys is not None:
        service.keys.find(given_key(request.headers)).require_operator()
    elif request.client is None or request.client.host not in LOOPBACK:
        raise NotAllowed("without keys (OVERFETCH_SERVE_KEYS) only this machine itself is told")


def is_operator(request: Request, service: CurrentService) -> bool:
    try:
        require_operator(request, service)
    except OverfetchError:
        return False
    return True


@router.head("/livez", include_in_schema=False)
@router.get("/livez", response_model_exclude_none=True)
async def livez() -> Health:
    """The process runs and its event loop turns."""
    return Health(status="alive")


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", responses={503: {"model": Health}}, response_model_exclude_none=True)
async def readyz(
    service: CurrentService, response: Response, operator: Annotated[bool, Depends(is_operator)]
) -> Health:
    """Models are verified and have run, collections are open, and the models that made them are those that search."""
    if service.is_leaving:
        response.status_code = 503
        return Health(status="leaving")
    await asyncio.to_thread(service.readiness.check)
    reasons, parts = service.readiness.reasons, service.readiness.parts
    if reasons:
        response.status_code = 503
    status = "not ready" if reasons else "ready"
    reason = f"{len(reasons)} of {len(parts)} parts" if reasons else None
    if not operator:
        return Health(status=status, reason=reason)
    states = {part: without_folders(reasons.get(part, "ready")) for part in parts}
    return Health(status=status, reason=reason, parts=states, not_indexed=service.readiness.unindexed)


@router.get(
    "/metrics", dependencies=[Depends(require_operator)], response_class=Response, responses=responses(401, 403, 503)
)
async def metrics(service: CurrentService) -> Response:
    """The figures of the service, as Prometheus reads them."""
    service.sample()
    text = service.watching.metrics.exposition(await _stored(service), service.workspace.environment.profile)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


async def _stored(service: Service) -> Mapping[str, Sequence[Generation]]:
    """None of what the store does not tell in time: the other figures are worth more than those."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(service.generations), PATIENCE_S)
    except (OverfetchError, TimeoutError):
        return {}

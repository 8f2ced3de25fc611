"""`/livez` and `/readyz`: whether the process runs, and whether the next request is answered at full speed."""

from fastapi import APIRouter, Response

from overfetch.types import Frozen
from overfetch_serve.access import CurrentService

router = APIRouter(tags=["operations"])


class Health(Frozen):
    """`reason` tells what is not ready."""

    status: str
    reason: str | None = None


@router.get("/livez")
async def livez() -> Health:
    """The process runs and its event loop turns."""
    return Health(status="alive")


@router.get("/readyz", responses={503: {"model": Health}})
async def readyz(service: CurrentService, response: Response) -> Health:
    """Models are loaded and have run, collections are open, and their provenance is that of the models."""
    if service.is_leaving:
        response.status_code = 503
        return Health(status="leaving")
    if service.not_ready is None:
        return Health(status="ready")
    response.status_code = 503
    return Health(status="not ready", reason=service.not_ready)

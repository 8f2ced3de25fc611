"""`/v1/jobs`: what became of writes that were accepted, for keys with scope `admin`."""

from fastapi import APIRouter

from overfetch_serve.access import CurrentKey, CurrentService, allowed
from overfetch_serve.errors import NotFound
from overfetch_serve.jobs import Job
from overfetch_serve.problems import responses

router = APIRouter(
    prefix="/v1/jobs", tags=["documents"], dependencies=[allowed("admin")], responses=responses(401, 403, 404, 429)
)


@router.get("")
async def jobs(service: CurrentService, key: CurrentKey) -> list[Job]:
    """The last ones of the sites that the key may know of, newest first."""
    return [job for job in await service.work(service.jobs.all) if key.knows(job.site)]


@router.get("/{job_id}")
async def job(job_id: str, service: CurrentService, key: CurrentKey) -> Job:
    """How far it is, and then its report or what went wrong."""
    found = await service.work(service.jobs.find, job_id)
    if found is None or not key.knows(found.site):
        raise NotFound(f"no job {job_id!r} is known to this key; GET /v1/jobs lists the last ones")
    return found

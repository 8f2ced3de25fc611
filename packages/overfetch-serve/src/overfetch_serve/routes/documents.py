"""Documents over HTTP, for keys with scope `admin`: put and removed alone, or indexed again from their sources."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request, Response

from overfetch.indexing import IndexReport, Progress
from overfetch_serve.access import CurrentService, allowed
from overfetch_serve.errors import NotFound
from overfetch_serve.jobs import Job, Kind, Work
from overfetch_serve.service import Service

router = APIRouter(prefix="/v1/{site}/{collection}", tags=["documents"], dependencies=[allowed("admin")])

EXAMPLE = [{"id": "opening-hours", "title": "Opening hours", "text": "We are open from 9 to 5."}]

Records = Annotated[list[dict[str, Any]], Body(min_length=1, examples=[EXAMPLE])]
AcceptLoss = Annotated[bool, Query(description="Publish even if the judged queries find less than before.")]


@router.put("/documents", status_code=202)
async def put(
    site: str,
    collection: str,
    records: Records,
    service: CurrentService,
    request: Request,
    response: Response,
    accept_loss: AcceptLoss = False,
) -> Job:
    """Adds documents, or replaces those of the same ids; no other is touched. Their fields are the collection's.

    All are checked before the job begins. An index run makes the collection equal to its sources again.
    """
    engine, _ = service.collection(site, collection)
    await service.work(engine.put, collection, records, dry_run=True)

    def work(progress: Progress) -> IndexReport:
        return engine.put(collection, records, accept_loss=accept_loss, progress=progress)

    return await _begin("put", site, collection, work, service, request, response)


@router.delete("/documents/{document_id:path}", status_code=202)
async def remove(
    site: str,
    collection: str,
    document_id: str,
    service: CurrentService,
    request: Request,
    response: Response,
    accept_loss: AcceptLoss = False,
) -> Job:
    """Removes a document; an index run puts it back where it is in a source of the collection."""
    engine, _ = service.collection(site, collection)
    found = await service.work(engine.remove, collection, [document_id], dry_run=True)
    if not found.removed:
        raise NotFound(f"{engine.name_of(collection)} has no document {document_id!r}")

    def work(progress: Progress) -> IndexReport:
        return engine.remove(collection, [document_id], accept_loss=accept_loss, progress=progress)

    return await _begin("remove", site, collection, work, service, request, response)


@router.post("/index", status_code=202)
async def index(
    site: str,
    collection: str,
    service: CurrentService,
    request: Request,
    response: Response,
    accept_loss: AcceptLoss = False,
) -> Job:
    """Makes the collection equal to its sources, which are those that it was made from; searches go on meanwhile."""
    engine, _ = service.collection(site, collection)

    def work(progress: Progress) -> IndexReport:
        return engine.index_again(collection, accept_loss=accept_loss, progress=progress)

    return await _begin("index", site, collection, work, service, request, response)


async def _begin(
    kind: Kind,
    site: str,
    collection: str,
    work: Work,
    service: Service,
    request: Request,
    response: Response,
) -> Job:
    job = await service.work(service.jobs.start, kind, site, collection, work)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}"
    return job

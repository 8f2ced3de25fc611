"""Documents over HTTP, for keys with scope `admin`: put and removed alone, or indexed again from their sources."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from overfetch import Engine, IndexReport
from overfetch_serve.access import CurrentService, allowed
from overfetch_serve.errors import NotFound
from overfetch_serve.folders import folder_of
from overfetch_serve.jobs import Job, Kind
from overfetch_serve.problems import responses
from overfetch_serve.records import read_records

router = APIRouter(
    prefix="/v1/{site}/{collection}",
    tags=["documents"],
    dependencies=[allowed("admin")],
    responses=responses(401, 403, 404, 409, 413, 422, 429, 503),
)

RECORDS: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": {"type": "object"}, "minItems": 1},
            "example": [{"id": "opening-hours", "title": "Opening hours", "text": "We are open from 9 to 5."}],
        }
    },
}
AcceptLoss = Annotated[bool, Query(description="Publish even if the judged queries find less than before.")]


class Writing:
    """What a route needs that begins a job."""

    def __init__(
        self,
        site: str,
        collection: str,
        service: CurrentService,
        request: Request,
        response: Response,
        accept_loss: AcceptLoss = False,
    ) -> None:
        self.site, self.collection, self.service = site, collection, service
        self.accept_loss = accept_loss
        self._request, self._response = request, response

    @property
    def engine(self) -> Engine:
        """Raises NotFound."""
        engine, _ = self.service.collection(self.site, self.collection)
        return engine

    async def begin(self, kind: Kind, write: Callable[..., IndexReport], *what: object) -> Job:
        """The job that does it, which the response names."""
        work = partial(write, self.collection, *what, accept_loss=self.accept_loss)
        job = await self.service.work(self.service.jobs.start, kind, self.site, self.collection, work)
        self._response.headers["Location"] = f"{self._request.scope.get('root_path', '')}/v1/jobs/{job.id}"
        return job


WritingHere = Annotated[Writing, Depends()]


async def sent_records(request: Request, service: CurrentService) -> list[dict[str, Any]]:
    """Read in a worker thread: of tens of megabytes that takes seconds. Raises SettingsError."""
    return await service.work(read_records, await request.body())


@router.put("/documents", status_code=202, openapi_extra={"requestBody": RECORDS})
async def put(records: Annotated[list[dict[str, Any]], Depends(sent_records)], writing: WritingHere) -> Job:
    """Adds documents, or replaces those of the same ids; no other is touched. Their fields are the collection's.

    All are checked before the job begins. An index run makes the collection equal to its sources again.
    """
    engine, collection = writing.engine, writing.collection
    await writing.service.work(engine.put, collection, records, dry_run=True)
    return await writing.begin("put", engine.put, records)


@router.delete("/documents/{document_id:path}", status_code=202)
async def remove(document_id: str, writing: WritingHere) -> Job:
    """Removes a document; an index run puts it back where it is in a source of the collection."""
    engine, collection = writing.engine, writing.collection
    found = await writing.service.work(engine.remove, collection, [document_id], dry_run=True)
    if not found.removed:
        raise NotFound(f"{engine.name_of(collection)} has no document {document_id!r}")
    return await writing.begin("remove", engine.remove, [document_id])


@router.post("/index", status_code=202)
async def index(writing: WritingHere) -> Job:
    """Makes the collection equal to its sources, which are those that it was made from; searches go on meanwhile."""
    engine = writing.engine
    folder = folder_of(engine.site)  # named, so that another of its name is told from it
    return await (
        writing.begin("index", engine.index, folder) if folder else writing.begin("index", engine.index_again)
    )

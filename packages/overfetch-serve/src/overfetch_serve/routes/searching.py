"""`POST /v1/{site}/{collection}/search` and `/ask`: the JSON of `--json` on the command line."""

from fastapi import APIRouter

from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch.requests import AskRequest, SearchRequest
from overfetch_serve.access import CurrentService, DeadlineHeader, allowed

router = APIRouter(tags=["search"])


class SearchBody(SearchRequest, defer_build=False):
    """See `overfetch.SearchRequest`. Built at once: FastAPI gives what it reads an alias, and built later, that warns."""


class AskBody(AskRequest, defer_build=False):
    """See `overfetch.AskRequest`."""



@router.post("/v1/{site}/{collection}/search", dependencies=[allowed("search")])
async def search(
    site: str, collection: str, asked: SearchBody, service: CurrentService, deadline_ms: DeadlineHeader = None
) -> RetrievalDocument:
    """Retrieve `top_k` passages, rerank them, keep `top_n`."""
    engine, _ = service.collection(site, collection)
    found = await service.work(engine.retrieve, collection, service.within(asked, deadline_ms))
    return RetrievalDocument.of(found)


@router.post("/v1/{site}/{collection}/ask", dependencies=[allowed("ask")])
async def ask(
    site: str, collection: str, asked: AskBody, service: CurrentService, deadline_ms: DeadlineHeader = None
) -> AnswerDocument:
    """Search, then answer with citations."""
    engine, _ = service.collection(site, collection)
    bounded = service.within(asked, deadline_ms).model_copy(update={"collection": collection})
    return AnswerDocument.of_answer(await service.work(engine.answer, bounded))

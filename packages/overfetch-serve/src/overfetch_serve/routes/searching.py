"""`POST /v1/{site}/{collection}/search` and `/ask`: the JSON of `--json` on the command line."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch.requests import AskRequest, SearchRequest
from overfetch_serve.access import CurrentService, DeadlineHeader, allowed
from overfetch_serve.problems import request_id, responses
from overfetch_serve.streaming import MEDIA_TYPE, stream_answer, wants_events

router = APIRouter(tags=["search"], responses=responses(401, 403, 404, 413, 415, 422, 429, 503, 504))


class SearchBody(SearchRequest, defer_build=False):
    """See `overfetch.SearchRequest`. Built at once: FastAPI gives it an alias, and built later, that warns."""


class AskBody(AskRequest, defer_build=False):
    """See `overfetch.AskRequest`."""


@router.post("/v1/{site}/{collection}/search", dependencies=[allowed("search")])
async def search(
    site: str, collection: str, asked: SearchBody, service: CurrentService, deadline_ms: DeadlineHeader = None
) -> RetrievalDocument:
    """Retrieve `top_k` passages, rerank them, keep `top_n`."""
    engine, chosen = service.collection(site, collection)
    return RetrievalDocument.of(await service.retrieve(engine, collection, service.within(asked, chosen, deadline_ms)))


EXAMPLE = 'event: delta\ndata: {"text": "It is so. [1]"}\n\n'
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": EXAMPLE}}}
}


@router.post(
    "/v1/{site}/{collection}/ask", dependencies=[allowed("ask")], response_model=AnswerDocument, responses=EVENTS
)
async def ask(
    site: str,
    collection: str,
    asked: AskBody,
    service: CurrentService,
    request: Request,
    deadline_ms: DeadlineHeader = None,
    accept: Annotated[str, Header()] = "",
) -> AnswerDocument | Response:
    """Search, then answer with citations: as JSON, or as it is written where `Accept` prefers
    `text/event-stream`.

    Events: `retrieval` (a RetrievalDocument for each part), `delta` (`text` to add: whole sentences, checked),
    `citation` (`number`, `passage_id`, `document_id`, `quote`), `replace` (`text` in place of all that was shown),
    `answer` (the AnswerDocument, last) and `error` (a problem).
    """
    engine, chosen = service.collection(site, collection)
    bounded = service.within(asked, chosen, deadline_ms).model_copy(update={"collection": collection})
    if wants_events(accept):
        return await stream_answer(service.events(engine, bounded), request_id(request))
    return AnswerDocument.of_answer(await service.answer(engine, bounded))

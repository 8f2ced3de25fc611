"""`/v1/chat/completions` in OpenAI's shape: a model is a site, or `SITE/COLLECTION`."""

import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from overfetch.documents import AnswerDocument
from overfetch_serve.access import CurrentKey, CurrentService, DeadlineHeader
from overfetch_serve.errors import NotFound
from overfetch_serve.keys import Key
from overfetch_serve.routes.listing import chat_models
from overfetch_serve.service import Service
from overfetch_serve.vendors.chat import ChatRequest, with_footnotes

router = APIRouter(tags=["other vendors' shapes"])


@router.post("/v1/chat/completions", response_model=None)
async def completions(
    asked: ChatRequest, service: CurrentService, key: CurrentKey, deadline_ms: DeadlineHeader = None
) -> Response:
    """A cited answer to the last message; `overfetch` holds what `ask` answers.

    Streamed, the checked answer comes in one piece.
    """
    site, _, collection = _find(asked.model, service, key).partition("/")
    engine = service.engine(site)
    request = service.within(asked.asking(collection or None), deadline_ms)
    answer = AnswerDocument.of_answer(await service.answer(engine, request))
    told = {"overfetch": {**answer.model_dump(mode="json"), "ignored": asked.ignored}}
    head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": asked.model}
    if asked.stream:
        return StreamingResponse(_chunks(head, with_footnotes(answer), told), media_type="text/event-stream")
    message = {"role": "assistant", "content": with_footnotes(answer)}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return JSONResponse({**head, "object": "chat.completion", "choices": [choice], **told})


def _find(name: str, service: Service, key: Key) -> str:
    """Which site or collection the model is. Raises NotAllowed, and NotFound naming those that the key knows."""
    key.require("ask")
    known, meant = chat_models(service, key), service.catalogue.meant(name)
    if meant not in known:
        raise NotFound(f"no model {name!r} answers chats for this key; these do: {', '.join(known) or 'none'}")
    return meant


def _chunks(head: dict[str, Any], text: str, told: dict[str, Any]) -> Iterator[str]:
    """Server-sent events: the text, then how it came about."""
    yield _event(head, {"role": "assistant", "content": text}, None)
    yield _event({**head, **told}, {}, "stop")
    yield "data: [DONE]\n\n"


def _event(head: dict[str, Any], delta: dict[str, Any], reason: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"

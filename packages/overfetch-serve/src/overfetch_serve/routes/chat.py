"""`/v1/chat/completions` in OpenAI's shape: a model is a site, or `SITE/COLLECTION`."""

import time
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel

from overfetch_serve.access import CurrentKey, CurrentService, DeadlineHeader
from overfetch_serve.errors import NotFound
from overfetch_serve.keys import Key
from overfetch_serve.problems import request_id
from overfetch_serve.routes.listing import chat_models
from overfetch_serve.service import Service
from overfetch_serve.streaming import HEADERS, MEDIA_TYPE, with_pings
from overfetch_serve.vendors.chat import ChatDocument, ChatRequest, footnotes
from overfetch_serve.vendors.chunks import chunks
from overfetch_serve.vendors.shapes import OPENAI

router = APIRouter(tags=["other vendors' shapes"], responses=OPENAI.responses)

STREAMED: dict[int | str, dict[str, Any]] = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


class ReplyMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str


class Choice(BaseModel):
    index: int = 0
    message: ReplyMessage
    finish_reason: Literal["stop"] = "stop"


class Completion(BaseModel):
    """`overfetch` (not OpenAI's) is what `ask` answers: citations, passages, `rerank_status`, timings."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    overfetch: ChatDocument


@router.post("/v1/chat/completions", response_model=Completion, responses=STREAMED)
async def completions(
    asked: ChatRequest,
    service: CurrentService,
    key: CurrentKey,
    request: Request,
    deadline_ms: DeadlineHeader = None,
) -> Completion | Response:
    """A cited answer to the last message, with what it cites as footnotes; the messages before it are its history.

    Streamed, whole sentences come as they are checked, and how the answer came about with the last chunk.
    """
    site, _, collection = _find(asked.model, service, key).partition("/")
    engine = service.engine(site)
    chosen = engine.site.collection(collection or engine.site.ask)
    question = service.within(asked.asking(collection or None), chosen, deadline_ms)
    head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": asked.model}
    if asked.stream:
        events = service.events(engine, question)
        await anext(events)  # raises what the search raises, before the response begins
        return EventSourceResponse(
            with_pings(chunks(head, events, asked.ignored, request_id(request))), headers=HEADERS
        )
    document = ChatDocument.of_chat(await service.answer(engine, question), asked.ignored)
    message = ReplyMessage(content=document.answer + footnotes(document))
    return Completion.model_validate({**head, "choices": [Choice(message=message)], "overfetch": document})


def _find(name: str, service: Service, key: Key) -> str:
    """Which site or collection the model is. Raises NotAllowed, and NotFound naming those that the key knows."""
    key.require("ask")
    known, meant = chat_models(service, key), service.catalogue.meant(name)
    if meant not in known:
        raise NotFound(f"no model {name!r} answers chats for this key; these do: {', '.join(known) or 'none'}")
    return meant

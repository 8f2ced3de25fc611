"""An answer as the chunks of OpenAI's shape: what was sent stays, so only what is checked is sent."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.sse import format_sse_event

from overfetch import Answer, AnswerSoFar, OverfetchError
from overfetch.engine import AskEvent
from overfetch_serve.problems import problem
from overfetch_serve.vendors.chat import ChatDocument, footnotes
from overfetch_serve.vendors.shapes import OPENAI

log = logging.getLogger(__name__)

TAKEN_BACK = "\n\n---\nThe text above did not hold. This counts in its place:\n\n"


async def chunks(
    head: dict[str, Any], events: AsyncGenerator[AskEvent, None], ignored: tuple[str, ...], request_id: str | None
) -> AsyncGenerator[bytes, None]:
    """Whole sentences as they are checked, the footnotes, and how the answer came about; or an error, and the end."""
    shown = ""
    try:
        async with aclosing(events):
            yield _chunk(head, {"role": "assistant", "content": ""})
            async for event in events:
                if isinstance(event, AnswerSoFar | Answer):
                    if text := going_on(shown, event.answer):
                        yield _chunk(head, {"content": text})
                    shown = event.answer
                if isinstance(event, Answer):
                    document = ChatDocument.of_chat(event, ignored)
                    yield _chunk(head, {"content": footnotes(document)})
                    yield _chunk({**head, "overfetch": document.model_dump(mode="json")}, {}, "stop")
    except OverfetchError as error:
        yield _failed(error, request_id)
    except Exception:
        log.exception("an answer failed while it was streamed")
        yield _failed(OverfetchError("the service failed; its log says why"), request_id)
    yield format_sse_event(data_str="[DONE]")


def going_on(shown: str, text: str) -> str:
    """What is to be sent so that a reader of `shown` has the text."""
    return text[len(shown) :] if text.startswith(shown) else TAKEN_BACK + text


def _chunk(head: dict[str, Any], delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return format_sse_event(data_str=json.dumps({**head, "object": "chat.completion.chunk", "choices": [choice]}))


def _failed(error: OverfetchError, request_id: str | None) -> bytes:
    found = problem(error, request_id)
    _, body = OPENAI.said(found.status, found.detail, request_id)
    return format_sse_event(data_str=json.dumps(body))

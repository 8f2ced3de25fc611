"""An answer as server-sent events: what was found, each sentence once it is checked, and the answer.

- `retrieval`: a RetrievalDocument, one for each part of the question, before anything else
- `delta`: `text` to be added to what is shown; whole sentences, their citations checked
- `citation`: what `[number]` in that text stands for
- `replace`: `text` to be shown in place of all that is shown, whose citations count no more: another attempt has taken
  the place of the first, or quotes that of both
- `answer`: the AnswerDocument; its `answer` is what is shown by then
- `error`: a problem; nothing follows
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from operator import itemgetter

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel

from overfetch import Answer, AnswerSoFar, Citation, OverfetchError, Retrieval
from overfetch.citations import MARKER
from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch.engine import AskEvent
from overfetch.markers import mask_code
from overfetch.types import Frozen
from overfetch_serve.problems import problem

log = logging.getLogger(__name__)

MEDIA_TYPE = EventSourceResponse.media_type
HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # nor may a proxy hold back what it was sent
WEIGHT = re.compile(r"\bq=(\d\.?\d*)")
PING_S = 15.0  # proxies close what says nothing for a minute


class Text(Frozen):
    """Of a `delta` or a `replace`."""

    text: str


class NumberedCitation(Citation):
    """A citation, and the number of its marker."""

    number: int


def wants_events(accept: str) -> bool:
    """Whether the header prefers events to JSON; of what it likes as much, the first counts.

    >>> wants_events("application/json;q=0.5, text/event-stream"), wants_events("application/json, text/event-stream")
    (True, False)
    """
    weight, kind = max(_weighed(accept), key=itemgetter(0), default=(0.0, ""))
    return weight > 0 and kind == MEDIA_TYPE


def _weighed(accept: str) -> Iterator[tuple[float, str]]:
    for one in accept.lower().split(","):
        kind, _, parameters = one.partition(";")
        if (kind := kind.strip()) in (MEDIA_TYPE, "application/json"):
            weight = WEIGHT.search(parameters)
            yield float(weight[1]) if weight else 1.0, kind


async def stream_answer(events: AsyncGenerator[AskEvent, None], request_id: str | None) -> EventSourceResponse:
    """Raises what the search raises: until then the response has not begun."""
    found = await anext(events)
    assert isinstance(found, tuple)
    return EventSourceResponse(with_pings(_told(found, events, request_id)), headers=HEADERS)


async def _told(
    found: Sequence[Retrieval], events: AsyncGenerator[AskEvent, None], request_id: str | None
) -> AsyncGenerator[bytes, None]:
    shown = Shown()
    try:
        async with aclosing(events):
            for retrieval in found:
                yield _event("retrieval", RetrievalDocument.of(retrieval))
            async for event in events:
                if isinstance(event, AnswerSoFar | Answer):
                    for step in shown.towards(event):
                        yield step
                if isinstance(event, Answer):
                    yield _event("answer", AnswerDocument.of_answer(event))
    except OverfetchError as error:
        yield _event("error", problem(error, request_id))
    except Exception:
        log.exception("an answer failed while it was streamed")
        yield _event("error", problem(OverfetchError("the service failed; its log says why"), request_id))


class Shown:
    """What a client has been shown of an answer, and the events that lead from there to what it should be shown."""

    def __init__(self) -> None:
        self._text = ""
        self._citations: dict[int, Citation] = {}

    def towards(self, answer: AnswerSoFar | Answer) -> Iterator[bytes]:
        if not self._begins(answer):
            self._citations = {}
            yield _event("replace", Text(text=answer.answer))
        elif len(answer.answer) > len(self._text):
            yield _event("delta", Text(text=answer.answer[len(self._text) :]))
        self._text = answer.answer
        for number, citation in enumerate(answer.citations, start=1):
            if number not in self._citations and (isinstance(answer, Answer) or number in _numbers(self._text)):
                self._citations[number] = citation
                yield _event("citation", NumberedCitation(number=number, **dict(citation)))

    def _begins(self, answer: AnswerSoFar | Answer) -> bool:
        """Whether the answer only goes on with what is shown."""
        known = dict(enumerate(answer.citations, start=1))
        return answer.answer.startswith(self._text) and self._citations.items() <= known.items()


def _numbers(text: str) -> set[int]:
    return {int(marker[1:-1]) for marker in MARKER.findall(mask_code(text))}


def _event(name: str, data: BaseModel) -> bytes:
    return format_sse_event(event=name, data_str=data.model_dump_json())


async def with_pings(events: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The events, and comments while none comes."""
    told: asyncio.Queue[bytes | None] = asyncio.Queue()
    telling = asyncio.create_task(_tell(events, told))
    try:
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    event = await told.get()
            except TimeoutError:
                event = KEEPALIVE_COMMENT
            if event is None:
                return
            yield event
    finally:
        telling.cancel()


async def _tell(events: AsyncGenerator[bytes, None], told: "asyncio.Queue[bytes | None]") -> None:
    """In a task of its own: whoever stops listening ends it where it is."""
    try:
        async with aclosing(events):
            async for event in events:
                told.put_nowait(event)
    finally:
        told.put_nowait(None)

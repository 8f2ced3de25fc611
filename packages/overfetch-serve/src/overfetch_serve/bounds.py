"""ASGI middleware: bodies are read before the routes run, within bounds; a client that leaves ends its work."""

import asyncio
import re

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overfetch.errors import OverfetchError
from overfetch_serve.access import given_key
from overfetch_serve.errors import BodyTooLarge, TooSlow
from overfetch_serve.problems import path_in, refusal
from overfetch_serve.seen import current
from overfetch_serve.service import Service
from overfetch_serve.settings import ServiceSettings

OF_DOCUMENTS = re.compile(r"/v1/[^/]+/[^/]+/documents(/.*)?")


class Bounded:
    """Whatever the route, it reads no body that is too large or too slow, declared or in chunks."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except OverfetchError as error:
            await _refuse(error, scope, receive, send)
            return
        if body is not None:
            if (seen := current.get()) is not None:
                seen.body = body
            await self._answer(body, scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """None where the client has left. Raises BodyTooLarge and TooSlow."""
        usual, most = self._settings.body_bytes, self._most(scope)
        declared = Headers(scope=scope).get("Content-Length", "")
        if declared.isdecimal():
            _require_size(int(declared), most)
        seconds = self._settings.body_timeout_s * max(1.0, most / usual)
        body = bytearray()
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    _require_size(len(body), most)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            raise TooSlow(f"the body did not arrive within {seconds:g} s: send it faster, or less at a time") from error

    def _most(self, scope: Scope) -> int:
        """Bytes of a body: more of documents, but only from whoever may write some."""
        of_documents = OF_DOCUMENTS.fullmatch(path_in(scope)) and _may_write(scope)
        return self._settings.document_bytes if of_documents else self._settings.body_bytes

    async def _answer(self, body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        """In a task of its own, which is cancelled where the client leaves before it has the whole response."""
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        complete = False

        async def received() -> Message:
            if messages:
                return messages.pop()
            await asyncio.wait({left})
            return {"type": "http.disconnect"}

        async def sent(message: Message) -> None:
            nonlocal complete
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        left = asyncio.create_task(_until_left(receive))
        work = asyncio.ensure_future(self._app(scope, received, sent))
        left.add_done_callback(lambda _: None if complete else work.cancel())
        try:
            await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():  # by the server, not since the client left
                raise
        finally:
            left.cancel()


def _may_write(scope: Scope) -> bool:
    """Of some site; of which one the route asks."""
    service: Service = scope["app"].state.service
    try:
        return "admin" in service.key(given_key(Headers(scope=scope))).scopes
    except OverfetchError:  # which the route says
        return False


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _require_size(size: int, most: int) -> None:
    if size > most:
        raise BodyTooLarge(f"the body has {size} bytes or more; this route reads {most}: send less at a time")


async def _refuse(error: OverfetchError, scope: Scope, receive: Receive, send: Send) -> None:
    """The connection ends with it: nobody reads the rest of the body."""
    answer = refusal(error, Request(scope))
    answer.headers["Connection"] = "close"
    await answer(scope, receive, send)

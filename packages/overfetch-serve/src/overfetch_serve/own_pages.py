"""ASGI middleware for a service without keys: a browser would send what any page asks of it, and only its own may."""

import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from overfetch_serve.errors import NotAllowed
from overfetch_serve.problems import refusal
from overfetch_serve.settings import OWN_NAMES

PORT = re.compile(r":\d*$")
LONGEST_SHOWN = 80  # characters of what was given


class OwnPages:
    """Refuses what was sent to a name that is not this machine's own for itself: a page may lead any name here.

    And what a page of another origin sends, unless it is one of those `allowed`.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        why = self._why_not(Headers(scope=scope)) if scope["type"] == "http" else None
        app = self._app if why is None else refusal(NotAllowed(why), Request(scope))
        await app(scope, receive, send)

    def _why_not(self, headers: Headers) -> str | None:
        host, origin = headers.get("Host", ""), headers.get("Origin")
        if PORT.sub("", host).lower() not in OWN_NAMES:
            return (
                f"without keys nobody is answered under the name {host[:LONGEST_SHOWN]!r}, but under "
                f"{', '.join(OWN_NAMES)}: use one of these, or ask for keys (`overfetch keys add`)"
            )
        if origin is None or origin in (*self._allowed, f"http://{host}", f"https://{host}"):
            return None
        return (
            f"pages of {origin[:LONGEST_SHOWN]!r} may not ask: name it in OVERFETCH_SERVE_CORS_ORIGINS, or ask for keys"
        )

"""ASGI middleware for a service without keys: a browser would send what any page asks of it, and only its own may."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from overfetch_serve.errors import NotAllowed
from overfetch_serve.problems import path_in, problem, response


class OwnPages:
    """Refuses what a page of another origin sends, unless it is one of those `allowed`."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("Origin") if scope["type"] == "http" else None
        if origin is None or self._is_own(origin, Headers(scope=scope).get("Host", "")):
            await self._app(scope, receive, send)
            return
        told = f"pages of {origin[:80]!r} may not ask: name it in OVERFETCH_SERVE_CORS_ORIGINS, or ask for keys"
        await response(problem(NotAllowed(told)), path=path_in(scope))(scope, receive, send)

    def _is_own(self, origin: str, host: str) -> bool:
        return origin in self._allowed or origin in (f"http://{host}", f"https://{host}")

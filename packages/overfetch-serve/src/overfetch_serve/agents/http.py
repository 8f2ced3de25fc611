"""`/mcp`: streamable HTTP without sessions, so that any worker answers any request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from overfetch import OverfetchError
from overfetch_serve.access import admitted, given_key
from overfetch_serve.agents.server import Agents
from overfetch_serve.keys import Key
from overfetch_serve.problems import refusal
from overfetch_serve.service import Service
from overfetch_serve.settings import OWN_NAMES

PATH = "/mcp"


class AgentsOverHttp:
    """An ASGI application; it answers while `running`. A request without a known key gets no further than this."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._manager: StreamableHTTPSessionManager | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Once more after the last time, which the SDK's manager by itself does not allow."""
        server = Agents(self.service, self._who_asks).server()
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, security_settings=self._security()
        )
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            admitted(self.service, request)
        except OverfetchError as error:
            await refusal(error, request)(scope, receive, send)
            return
        assert self._manager is not None, "it is not running"
        await self._manager.asgi_app(scope, receive, send)

    def _who_asks(self, context: Any) -> Key:
        return self.service.key(given_key(context.request.headers))

    def _security(self) -> TransportSecuritySettings:
        """Without keys any page in a browser could ask: then only this machine's names for itself are taken."""
        hosts = [f"{name}{port}" for name in OWN_NAMES for port in ("", ":*")]
        return TransportSecuritySettings(
            enable_dns_rebinding_protection=self.service.keys is None,
            allowed_hosts=hosts,
            allowed_origins=[f"http://{host}" for host in hosts],
        )

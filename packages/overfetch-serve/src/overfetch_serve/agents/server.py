"""The MCP server: over HTTP as `/mcp` of the service, with its keys, and over stdio for whoever starts it."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mcp import MCPError
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp_types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    CallToolResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    ResourceTemplate,
    TextContent,
    TextResourceContents,
)
from pydantic import ValidationError

from overfetch import OverfetchError, Passage, SettingsError, in_thread
from overfetch.contents import find_passage
from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch.requests import AskRequest, SearchRequest
from overfetch.settings import explain
from overfetch_serve.agents.arguments import Arguments, options_of
from overfetch_serve.agents.tools import SCHEME, CollectionTool, instructions, result, tools_of
from overfetch_serve.errors import NotFound
from overfetch_serve.keys import Key
from overfetch_serve.problems import problem
from overfetch_serve.service import Service

log = logging.getLogger(__name__)

Context = Any  # ServerRequestContext: `request` is Starlette's, None over stdio
WhoAsks = Callable[[Context], Key]


class Agents:
    """Answers agents by the service. `who_asks` raises NotAuthenticated."""

    def __init__(self, service: Service, who_asks: WhoAsks) -> None:
        self.service = service
        self.who_asks = who_asks
        self.tools = tools_of(service.sites.values())
        self.warming: asyncio.Future[None] | None = None

    def server(self) -> "Server[dict[str, Any]]":
        return Server(
            "overfetch",
            title="Overfetch",
            # With keys, nobody learns here of a site that is not theirs: their tools say what there is.
            instructions=instructions([] if self.service.keys else self.service.sites.values()),
            on_list_tools=self.list_tools,
            on_call_tool=self.call_tool,
            on_list_resource_templates=self.list_templates,
            on_read_resource=self.read_resource,
        )

    async def list_tools(self, context: Context, _: PaginatedRequestParams | None) -> ListToolsResult:
        """Those that the key may use: it does not learn of the rest."""
        key = self.who_asks(context)
        return ListToolsResult(tools=[tool.described() for tool in self.tools.values() if _may_use(key, tool)])

    async def call_tool(self, context: Context, asked: CallToolRequestParams) -> CallToolResult:
        """What fails is told to the agent, who may then ask better."""
        try:
            with _telling():
                return await self._call(self.who_asks(context), asked)
        except MCPError as error:
            return CallToolResult(content=[TextContent(text=error.error.message)], is_error=True)

    async def list_templates(self, context: Context, _: PaginatedRequestParams | None) -> ListResourceTemplatesResult:
        key = self.who_asks(context)
        return ListResourceTemplatesResult(
            resource_templates=[
                ResourceTemplate(
                    name=f"{site.name}/{collection.name}",
                    title=f"A passage of {site.title}: {collection.name}",
                    uri_template=f"{SCHEME}://{site.name}/{collection.name}/passages/{{id}}",
                    mime_type="text/markdown",
                )
                for site in self.service.sites.values()
                if key.knows(site.name) and "search" in key.scopes
                for collection in site.collections
            ]
        )

    async def read_resource(self, context: Context, asked: ReadResourceRequestParams) -> ReadResourceResult:
        with _telling():
            passage = await self._passage(self.who_asks(context), asked.uri)
        text = TextResourceContents(uri=asked.uri, mime_type="text/markdown", text=passage.reading)
        return ReadResourceResult(contents=[text])

    async def _call(self, key: Key, asked: CallToolRequestParams) -> CallToolResult:
        tool = self.tools.get(asked.name)
        if tool is None or not _may_use(key, tool):
            usable = ", ".join(t.name for t in self.tools.values() if _may_use(key, t))
            raise NotFound(f"there is no tool {asked.name!r}; there are: {usable or 'none'}")
        return result(await self._answered(tool, arguments_of(tool, asked.arguments or {})))

    async def _answered(self, tool: CollectionTool, given: Arguments) -> RetrievalDocument | AnswerDocument:
        if self.warming is not None:  # which is not the request's time
            await asyncio.shield(self.warming)
        engine, name, options = self.service.engine(tool.site.name), tool.collection.name, options_of(given)
        if tool.verb == "search":
            search = self.service.within(SearchRequest.of(given.query, **options), tool.collection)
            return RetrievalDocument.of(await self.service.retrieve(engine, name, search))
        ask = self.service.within(AskRequest.of(given.query, collection=name, **options), tool.collection)
        return AnswerDocument.of_answer(await self.service.answer(engine, ask))

    async def _passage(self, key: Key, uri: str) -> Passage:
        site, _, rest = uri.removeprefix(f"{SCHEME}://").partition("/")
        collection, _, passage_id = rest.partition("/passages/")
        key.require("search", site)
        engine, _ = self.service.collection(site, collection)
        found = await self.service.work(find_passage, engine.store, engine.name_of(collection), passage_id)
        if found is None:
            raise NotFound(f"there is no passage {uri!r}")
        return found


@contextmanager
def _telling() -> Iterator[None]:
    """Raises MCPError with what the agent may know: the SDK would send it any error's message."""
    try:
        yield
    except OverfetchError as error:
        found = problem(error)
        raise MCPError(INTERNAL_ERROR, f"{found.type}: {found.detail}") from error
    except Exception as error:
        log.exception("an agent's request failed")
        raise MCPError(INTERNAL_ERROR, "the service failed; its log says why") from error


def _may_use(key: Key, tool: CollectionTool) -> bool:
    return key.knows(tool.site.name) and tool.scope in key.scopes


def arguments_of(tool: CollectionTool, given: dict[str, Any]) -> Arguments:
    """Raises SettingsError."""
    try:
        return tool.arguments.model_validate(given)
    except ValidationError as error:
        raise SettingsError(explain(error)) from error


async def serve_stdio(agents: Agents) -> None:
    """Until the other side closes; it is told what there is while models are loaded."""
    server = agents.server()
    agents.warming = asyncio.ensure_future(in_thread(agents.service.warm_up))
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())

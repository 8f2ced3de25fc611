"""MCP by the official client: in process, over HTTP with keys, and over stdio."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from listening import listening
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import CallToolResult, ResourceLink, TextContent, TextResourceContents

from overfetch import AskRequest, Environment, SearchRequest, SettingsError, Workspace, load_site
from overfetch_serve.agents.arguments import form, options_of
from overfetch_serve.agents.server import Agents
from overfetch_serve.agents.tools import tools_of
from overfetch_serve.keys import ANYBODY, Keys
from overfetch_serve.service import Service
from overfetch_serve.settings import ServiceSettings

QUERY = "cross-encoder that reorders retrieved passages locally"


def told(result: CallToolResult) -> str:
    """What it says in words."""
    first = result.content[0]
    assert isinstance(first, TextContent)
    return first.text


@pytest.fixture
def agents(samples: Environment) -> Iterator[Agents]:
    with Workspace(samples) as workspace:
        sites = [load_site("builddaily"), load_site("sagedaily")]
        yield Agents(Service(sites, workspace, ServiceSettings()), lambda context: ANYBODY)


async def test_each_collection_has_a_search_and_an_ask_that_only_read(agents: Agents) -> None:
    async with Client(agents.server()) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {
        f"{verb}_{name}"
        for verb in ("search", "ask")
        for name in ("builddaily_resources", "builddaily_chat", "sagedaily_canon")
    }
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools.values())
    filters = tools["search_builddaily_resources"].input_schema["$defs"]["Filters"]["properties"]
    assert {"kind", "updated"} <= set(filters)


async def test_a_search_gives_the_documents_of_the_command_line_and_links(agents: Agents) -> None:
    arguments = {"query": QUERY, "top_n": 2, "filters": {"kind": ["tool"]}}
    async with Client(agents.server()) as client:
        found = await client.call_tool("search_builddaily_resources", arguments)
        links = [part for part in found.content if isinstance(part, ResourceLink)]
        passage = await client.read_resource(links[0].uri)
    assert found.structured_content["rerank_status"] == "full"
    assert {hit["metadata"]["kind"] for hit in found.structured_content["hits"]} == {"tool"}
    assert len(links) == 2
    (read,) = passage.contents
    assert isinstance(read, TextResourceContents)
    assert found.structured_content["hits"][0]["text"] in read.text


def test_unless_it_is_told_otherwise_a_tool_searches_as_the_collection_is_set(samples: Environment) -> None:
    collection = load_site("sagedaily").collection("canon")
    options = options_of(form(collection)(query="the Tower"))
    assert {name: value for name, value in options.items() if value} == {}
    own = collection.retrieval.model_copy(update={"deadline_ms": 1_500.0, "rerank": False, "top_k": 4, "top_n": 3})
    chosen = collection.model_copy(update={"retrieval": own})
    with Workspace(samples) as workspace:
        service = Service([load_site("sagedaily")], workspace, ServiceSettings())
        asked = SearchRequest.of("the Tower", **options)
        assert service.within(asked, chosen).deadline_ms == 1_500
        assert service.within(asked, chosen, 700).deadline_ms == 700
        hurried = SearchRequest.of("the Tower", deadline_ms=900)
        assert service.within(hurried, chosen, 700).deadline_ms == 700
        assert service.within(hurried, chosen, 1_100).deadline_ms == 900
        assert service.within(asked, collection).deadline_ms == ServiceSettings().deadline_ms
        ask = AskRequest.of("the Tower", deadline_ms=None)
        bounded = service.within(ask.model_copy(update={"deadline_ms": 900.0}), chosen)
        given = [service.within(ask, chosen), service.within(ask, chosen, 700), bounded]
        assert [one.own_deadline_ms for one in given] == [None, 700, 900], "the service's own bounds no writing"
    assert own.override(top_n=asked.top_n, rerank=asked.rerank) == own


async def test_an_ask_quotes_and_says_what_it_quotes(agents: Agents) -> None:
    async with Client(agents.server()) as client:
        found = await client.call_tool("ask_builddaily_chat", {"query": "What is Sage Daily?"})
    assert found.structured_content["citations"]
    assert found.structured_content["citations"][0]["quote"] in told(found)


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("search_nothing", {"query": "a"}, "search_builddaily_resources"),
        ("search_builddaily_resources", {"query": "  "}, "empty"),
        ("search_builddaily_resources", {"query": "a", "top_n": 1_000}, "top_n"),
        ("search_builddaily_resources", {"query": "a", "filters": {"colour": ["red"]}}, "colour"),
        ("search_builddaily_resources", {"query": "a", "filters": {"updated": {"start": "soon"}}}, "soon"),
        ("search_builddaily_resources", {"query": "a", "as_of": "2024-01-01"}, "as_of"),
    ],
)
async def test_the_agent_is_told_what_is_not_allowed(
    agents: Agents, tool: str, arguments: dict[str, object], named: str
) -> None:
    async with Client(agents.server()) as client:
        found = await client.call_tool(tool, arguments)
    assert found.is_error
    assert named in told(found)


async def test_over_http_a_key_sees_its_own_sites_only(opened: Callable[..., FastAPI], tmp_path: Path) -> None:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    keys = Keys(tmp_path / "keys.json")
    _, secret = keys.add(("sagedaily",), ("search",))
    with listening(opened(keys=keys.path)) as address:
        async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {secret}"}) as http:
            async with Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client:
                tools = [tool.name for tool in (await client.list_tools()).tools]
                other = await client.call_tool("search_builddaily_chat", {"query": "sun"})
            assert tools == ["search_sagedaily_canon"]
            assert other.is_error
            assert "builddaily" not in told(other).replace("search_builddaily_chat", "")
        async with httpx2.AsyncClient() as http:
            assert (await http.post(f"{address}/mcp", json={})).status_code == 401


def test_two_collections_of_one_tool_are_refused() -> None:
    """A hyphen and an underscore are the same in a tool's name."""
    site = load_site("builddaily")
    one = site.collections[0]
    named = [
        site.model_copy(update={"name": name, "collections": (one.model_copy(update={"name": collection}),)})
        for name, collection in (("acme", "eu-docs"), ("acme-eu", "docs"))
    ]
    assert len(tools_of(named[:1])) == 2
    with pytest.raises(SettingsError, match="acme/eu-docs and acme-eu/docs have one tool, 'search_acme_eu_docs'"):
        tools_of(named)


async def test_over_stdio_by_the_command(samples: Environment) -> None:
    program = str(Path(sys.executable).parent / "overfetch")
    variables = {"OVERFETCH_QDRANT": samples.qdrant, "OVERFETCH_CACHE": str(samples.cache)}
    parameters = StdioServerParameters(command=program, args=["mcp", "sagedaily"], env={**os.environ, **variables})
    async with Client(stdio_client(parameters)) as client:
        found = await client.call_tool("search_sagedaily_canon", {"query": "the tower"})
    assert found.structured_content["hits"]
    assert found.structured_content["rerank_status"] == "full"

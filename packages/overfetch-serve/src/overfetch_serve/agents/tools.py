"""The tools: a search and an ask for each collection, with structured output and the passages as resources."""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from mcp_types import CallToolResult, ResourceLink, TextContent, Tool, ToolAnnotations

from overfetch import SettingsError
from overfetch.documents import AnswerDocument, HitDocument, RetrievalDocument
from overfetch.sites import Collection, Site
from overfetch_serve.agents.arguments import Arguments, form
from overfetch_serve.keys import Scope

SCHEME = "overfetch"
Verb = Literal["search", "ask"]
VERBS: tuple[Verb, ...] = ("search", "ask")
READS_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)


class CollectionTool(NamedTuple):
    """One tool: what is done (which is the scope that it needs), of which collection, with which arguments."""

    verb: Verb
    site: Site
    collection: Collection
    arguments: type[Arguments]

    @property
    def name(self) -> str:
        return f"{self.verb}_{self.site.name}_{self.collection.name}".replace("-", "_")

    @property
    def scope(self) -> Scope:
        return self.verb

    def described(self) -> Tool:
        gives = RetrievalDocument if self.verb == "search" else AnswerDocument
        return Tool(
            name=self.name,
            title=f"{self.verb.capitalize()} {self.site.title}: {self.collection.name}",
            description=f"{TOLD[self.verb]} {self.collection.about}".strip(),
            input_schema=self.arguments.model_json_schema(),
            output_schema=gives.model_json_schema(mode="serialization"),
            annotations=READS_ONLY,
        )


TOLD: dict[Verb, str] = {
    "search": "Passages that answer the query, best first, each with its document.",
    "ask": "An answer with verbatim quotes from the passages that support it; it says where the sources hold none.",
}


def tools_of(sites: Iterable[Site]) -> dict[str, CollectionTool]:
    """By name. Raises SettingsError where two collections have tools of one name."""
    tools = dict[str, CollectionTool]()
    for made in (CollectionTool(verb, s, c, form(c)) for s in sites for c in s.collections for verb in VERBS):
        other = tools.setdefault(made.name, made)
        if other is not made:
            both = " and ".join(f"{tool.site.name}/{tool.collection.name}" for tool in (other, made))
            raise SettingsError(f"{both} have one tool, {made.name!r}: rename one of them")
    return tools


def instructions(sites: Iterable[Site]) -> str:
    """When to use which collection."""
    lines = [
        f"- {site.name}/{c.name} ({site.title}): {c.about or 'no description'}"
        for site in sites
        for c in site.collections
    ]
    return "\n".join(
        [
            "Search these collections before you answer from memory. `search_...` gives passages, `ask_...` an answer",
            "with verbatim quotes: cite the documents that they name. Filters, where a tool has them, go before words.",
            "Where `rerank_status` is `partial`, `skipped`, `off` or `failed`, the order is, at least in part,",
            "that of the first stage, and less to be trusted.",
            *lines,
        ]
    )


def result(document: RetrievalDocument | AnswerDocument) -> CallToolResult:
    """The document, the same in words, and a link to each passage."""
    text = answer_text(document) if isinstance(document, AnswerDocument) else "\n\n".join(_passages(document.hits))
    status = f"rerank: {document.rerank_status}" + (f" ({document.rerank_reason})" if document.rerank_reason else "")
    words = TextContent(text=f"{text or 'Nothing was found.'}\n\n{status}")
    links = [_link(document.collection, hit) for hit in document.hits]
    return CallToolResult(content=[words, *links], structured_content=document.model_dump(mode="json"))


def answer_text(answer: AnswerDocument) -> str:
    """The answer, and under it the quotes that its markers name."""
    quotes = [f"[{n}] {c.document_id}: “{c.quote}”" for n, c in enumerate(answer.citations, start=1)]
    return "\n".join([answer.answer, "", *quotes]).strip()


def passage_uri(collection: str, passage_id: str) -> str:
    """The address of a passage as a resource of MCP."""
    return f"{SCHEME}://{collection}/passages/{passage_id}"


def _passages(hits: Iterable[HitDocument]) -> Iterator[str]:
    for hit in hits:
        yield f"{hit.rank}. {hit.breadcrumb or hit.title} (document {hit.document_id})\n{hit.text}"


def _link(collection: str, hit: HitDocument) -> ResourceLink:
    uri = passage_uri(collection, hit.passage_id)
    return ResourceLink(name=hit.document_id, title=hit.breadcrumb or hit.title, uri=uri, mime_type="text/markdown")

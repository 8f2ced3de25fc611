"""What builddaily reads into a question, what its passages are found by, and that exact names come first."""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from builddaily.chunking import READ, chunk_page
from builddaily.identifiers import key
from builddaily.naming import FILE, defined_names, mentioned_names, page_names
from builddaily.understanding import understand
from overfetch import Document, Engine, Environment, Focus, load_site, open_site, token_counter
from overfetch.stores.edge import EdgeStore
from overfetch.testing import FakeEmbedder, FakeReranker

PAGES = Path(__file__).parents[3] / "shared/data/corpora/devtools-docs/pages.jsonl"
DAY = date(2026, 1, 1)
# Products with near names, each asked for as people do, and the page that is meant.
NEAR = {
    "What is Sage?": "sage",
    "what is sage daily": "sage-daily",
    "SageMath": "sagemath",
    "sage math": "sagemath",
    "uv": "uv",
    "uvicorn": "uvicorn",
    "uvloop docs": "uvloop",
    "how do I use Vite": "vite",
    "vitest": "vitest",
    "pydantic": "pydantic",
    "PydanticAI": "pydantic-ai",
    "pydantic ai": "pydantic-ai",
    "qdrant": "qdrant",
    "qdrant edge": "qdrant-edge",
    "ruff": "ruff",
    "ruff formatter": "ruff-formatter",
    "react": "react",
    "react-native": "react-native",
    "playwright test": "playwright-test",
    "docker": "docker",
    "docker-compose": "docker-compose",
    "redis": "redis",
    "valkey": "valkey",
    "nomic-embed-text": "nomic-embed-text",
    "nomic-embed-code": "nomic-embed-code",
}


def looked_for(question: str, field: str) -> set[str]:
    focuses = understand(question, DAY).focuses
    return {v for f in focuses for c in f.conditions if c.field == field and hasattr(c, "values") for v in c.values}


def leading(question: str) -> list[Focus]:
    return [focus for focus in understand(question, DAY).focuses if focus.leads]


def missing(question: str, *, among: bool = False) -> list[str]:
    """What is said not to be there, if the store has none of it: of any, or only of many passages."""
    told = [focus for focus in understand(question, DAY).focuses if bool(focus.among) is among]
    return [focus.missing for focus in told if focus.missing]


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("CrossEncoder.predict", "crossencoderpredict"),
        ("--no-default-groups", "nodefaultgroup"),
        ("uv.lock", "uvlock"),
        ("what does `max_keepalive_connections` do", "maxkeepaliveconnection"),
        ("MAX_BATCH_TOKENS", "maxbatchtoken"),
        ("NoDuplicatesBatchSampler", "noduplicatesbatchsampler"),
    ],
)
def test_an_identifier_is_looked_up_whole_and_first(question: str, name: str) -> None:
    assert name in looked_for(question, "names") & looked_for(question, "defines")
    assert name in {v for focus in leading(question) for c in focus.conditions for v in getattr(c, "values", ())}


def test_parts_of_a_dotted_name_are_looked_for_together() -> None:
    (said,) = [f for f in understand("pkg.models.Judge", DAY).focuses if f.missing]
    assert [getattr(c, "values", ()) for c in said.conditions] == [("pkg",), ("judge",)]


@pytest.mark.parametrize(
    "question",
    ["keep the answers short", "self-hosted well-known e.g. 2.5 times", "APIs and LLMs", "what is the", "???", "C++"],
)
def test_prose_is_no_identifier(question: str) -> None:
    read = understand(question, DAY)
    assert not any(note.startswith("looked up") for note in read.notes)
    assert read.text.startswith(question)
    assert missing(question) == []


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("the model should answer word by word", "streaming"),
        ("openai is down again", "fallback"),
        ("transcribe with wisper", "whisper"),
    ],
)
def test_own_words_are_read_as_those_of_the_field(question: str, meant: str) -> None:
    read = understand(question, DAY)
    assert meant in read.text
    assert any(focus.text == question for focus in read.focuses)


def test_a_brand_is_a_word() -> None:
    assert understand("call OpenAI from PyTorch on GitHub", DAY).notes == ()


@pytest.mark.parametrize(
    "question",
    [
        "TypeError: MyClient.__init__() got an unexpected keyword argument 'proxies'",
        "why does my ShoppingCart not validate",
        "it hangs.then nothing",
        "ModuleNotFoundError: no module named my_own_package",
    ],
)
def test_what_may_be_the_askers_own_is_never_called_missing(question: str) -> None:
    assert missing(question) == []


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("dspy.TextGrad", ["dspy.TextGrad"]),
        ("uv --frobnicate", ["uv --frobnicate"]),
        ("fastembed AudioEmbedding class", ["fastembed AudioEmbedding"]),
        ("uv rollback", ["uv rollback"]),
        ("haystack 9.0 migration", ["haystack 9.0"]),
        ("uv cache prune", ["uv cache prune"]),
        ("call my django view with the httpx client in a test", []),
        ("gave 0.7 for both", []),
    ],
)
def test_what_only_code_has_can_be_missing(question: str, told: list[str]) -> None:
    assert missing(question) == told


def test_words_of_a_short_question_and_rare_ones_of_a_long_one_can_be_missing_among_many_passages() -> None:
    assert missing("snooze a workflow", among=True) == ["nothing on 'snooze'", "nothing on 'workflow'"]
    long = "my colleague and I would like to know how we should go about sending each page to typesense at night"
    assert missing(long, among=True) == ["nothing on 'typesense'"]
    assert missing("ImportError: typesense is not there", among=True) == []


def test_the_longest_name_wins() -> None:
    """`Sage Daily` is looked up as one name, and none of its parts leads."""
    assert "sagedaily" in looked_for("install sage daily", "names")
    assert "sage" not in {
        v for f in leading("install sage daily") for c in f.conditions for v in getattr(c, "values", ())
    }


def test_a_long_question_with_a_name_is_not_ruled_by_it() -> None:
    asked = "two optional extras need different numpy pins, how do I get one uv.lock for both of them"
    assert all("uvlock" not in getattr(c, "values", ()) for focus in leading(asked) for c in focus.conditions)


@pytest.mark.parametrize(
    ("question", "searched"),
    [
        ("run an sql query in a component, not the hosted one", "run an sql query in a component"),
        ("stream items one by one, but not half of one; python", "stream items one by one; python"),
        ("why not both of them", "why not both of them"),
        ("uv, not pip", "uv, not pip"),
    ],
)
def test_what_is_not_wanted_is_not_searched_for(question: str, searched: str) -> None:
    read = understand(question, DAY)
    assert read.text == searched
    assert bool(read.notes) == (question != searched)


def test_foreign_text_is_read_in_time() -> None:
    began = time.monotonic()
    for text in (
        "a." * 16_000,
        "-" * 32_768,
        "_" * 32_768,
        "aB" * 16_000,
        "a b " * 8_000,
        "::" * 16_000,
        "1." * 16_000,
    ):
        read = understand(text, DAY)
        assert len(read.focuses) <= 32
        page_names(Document(id="1", title=text[:500], text=""))
        defined_names([text[:300]], text)
        mentioned_names(Document(id="1", title="x", text=""), text)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("title", "metadata", "called"),
    [
        ("event-hooks.md", {"repo": "encode/httpx", "path": "docs/advanced/event-hooks.md"}, {"eventhook"}),
        ("Model Context Protocol (MCP)", {}, {"mcp", "modelcontextprotocol"}),
        ("Usage", {"repo": "a/tool", "path": "docs/losses/README.md"}, {"losse", "toolusage"}),
        ("pkg.streaming.Listener", {"repo": "a/pkg"}, {"listener", "pkgstreaminglistener"}),
    ],
)
def test_what_a_page_is_called(title: str, metadata: dict[str, str], called: set[str]) -> None:
    assert called <= set(page_names(Document(id="1", title=title, text="", metadata=metadata)))


def test_a_passage_defines_what_its_lines_begin_with() -> None:
    text = "### Config.copy {#copy tag='method'}\n- **top_k** (int): how many\n- The others\ndef run(x): ..."
    assert {"topk", "run", "limit"} <= set(defined_names(["Limits"], text))
    assert not {"the", "other", "x"} & set(defined_names([], text))


def test_nothing_of_a_passage_lies_beyond_the_embedder() -> None:
    size = token_counter("all-minilm-l6-v2")
    heading = "# " + "very long heading " * 12
    text = (
        f"{heading}\n\n```python\n"
        + "print('hello', world)\n" * 200
        + "```\n\n"
        + "漢字" * 900
        + "\n\n"
        + "word " * 900
    )
    page = Document(id="1", title="Long " * 80, text=text, metadata={"repo": "a/" + "tool-" * 30})
    chunks = list(chunk_page(page))
    assert len(chunks) > 5
    assert max(size(f"{chunk.breadcrumb}\n{chunk.text}") for chunk in chunks) <= READ


def test_a_breadcrumb_names_the_product_first() -> None:
    metadata = {"repo": "encode/httpx", "path": "docs/advanced/event-hooks.md"}
    page = Document(id="1", title="event-hooks.md", text="# Use\nA hook is `run`.", metadata=metadata)
    (chunk,) = chunk_page(page)
    assert chunk.breadcrumb == "httpx > advanced > event hooks > Use"
    assert chunk.metadata == {}
    assert {"run", "hook", "httpx"} <= set(chunk.lookups["mentions"] or ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("does uv have a bisect command", "uv bisect"),
        ("how do i use uv rollback", "uv rollback"),
        ("llm keys rotate", "llm keys rotate"),
        ("terraform modules", "terraform"),
        ("kubernetes autoscaling", "kubernetes"),
        ("haystack 4.0 migration guide", "haystack 4.0"),
        ("bge-reranker-v9-ultra", "bge-reranker-v9-ultra"),
        ("is uv hipaa compliant", "nothing on HIPAA"),
    ],
)
def test_kinds_that_pages_need_not_have(question: str, told: str) -> None:
    """Said where the store finds none."""
    assert told in missing(question)


@pytest.mark.parametrize(
    "question", ["why is uv slow", "uv behind a company proxy", "install uv on windows", "uv mirrors", "uv monorepo"]
)
def test_a_question_about_a_tool_asks_for_none_of_its_commands(question: str) -> None:
    assert set(missing(question)) <= {"uv"}


@pytest.fixture(scope="module")
def engine(samples: Environment) -> Iterator[Engine]:
    with open_site("builddaily", environment=samples) as opened:
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("collection", ["resources", "chat"])
def test_near_names_of_the_sample_are_told_apart(engine: Engine, collection: str) -> None:
    first = {q: engine.search(collection, q).hits[0].passage.document_id for q in NEAR}
    assert {q: page for q, page in first.items() if page != NEAR[q]} == {}


@pytest.mark.slow
def test_every_page_of_the_sample_comes_first_by_its_name(engine: Engine) -> None:
    """Reranked, every fourth: that takes its time."""
    titles = {document.title: document.id for document in load_site("builddaily").collection("resources").read()}
    first = {
        title: engine.search("resources", title, rerank=number % 4 == 0).hits[0].passage.document_id
        for number, title in enumerate(titles)
    }
    assert {title: page for title, page in first.items() if page != titles[title]} == {}


@pytest.mark.slow
def test_what_the_sample_has_not_is_not_answered(engine: Engine) -> None:
    for question in ("uv --frobnicate", "httpx.GraphQLClient", "uv rollback"):
        answer = engine.ask(question)
        assert not answer.found
        assert answer.answer.startswith("Not in the sources")
    for question in ("uv sync --locked", "uvx", "uvicorn --reload", "noUncheckedIndexedAccess", "vi.mock"):
        assert engine.search("resources", question).understood is not None
        assert not engine.search("resources", question).understood.missing  # type: ignore[union-attr]


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(not PAGES.exists(), reason=f"needs {PAGES}, which users do not have")
def test_exact_names_of_the_real_corpus_come_first(tmp_path: Path) -> None:
    """Of titles that only one page has, without a model that could help; every twelfth page, to be done in time."""
    lines = PAGES.read_text(encoding="utf-8").splitlines()[::12]
    pages = tmp_path / "pages.jsonl"
    pages.write_text("\n".join(lines), encoding="utf-8")
    engine = Engine(
        load_site("builddaily"), embedder=FakeEmbedder(), reranker=FakeReranker(), store=EdgeStore(tmp_path / "store")
    )
    engine.index("resources", pages)
    by_title = defaultdict(list)
    for record in map(json.loads, lines):
        by_title[key(FILE.sub("", record["title"]))].append((FILE.sub("", record["title"]), record["_id"]))
    named = [of_title[0] for of_title in by_title.values() if len(of_title) == 1]
    first = {title: engine.search("resources", title, rerank=False).hits[0] for title, _ in named}
    found = [first[title].passage.document_id == page for title, page in named]
    assert sum(found) >= 0.95 * len(found)

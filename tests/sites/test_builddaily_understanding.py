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


@pytest.mark.parametrize(
    "question",
    [
        "make SentenceTransformer faster",
        "CrossEncoder slow on CPU",
        "httpx AsyncClient trio",
        "PoolTimeout what to do",
        "httpx.AsyncHTTPTransport(retries=3)",
        "dspy.Predict vs dspy.ChainOfThought",
        "QdrantClient local mode",
    ],
)
def test_a_name_that_something_is_asked_about_leads_to_nothing(question: str) -> None:
    """It is looked up beside what is asked: only a page that is called all of it leads."""
    assert [focus.conditions[0].field for focus in leading(question)] == ["names"]
    assert looked_for(question, "defines")


@pytest.mark.parametrize("question", ["CrossEncoder slow on CPU", "make SentenceTransformer faster"])
def test_what_is_asked_about_a_name_is_read(question: str) -> None:
    assert understand(question, DAY).text.startswith(f"{question} (")
    assert understand(question.split()[0], DAY).text == question.split()[0]


@pytest.mark.parametrize(
    ("question", "product", "elsewhere"),
    [
        ("what is CrossEncoder", None, True),
        ("MCPToolset pydantic-ai", "pydanticai", False),
        ("sentence transformers CrossEncoder", "sentencetransformer", False),
        ("--served-model-name infinity", "infinity", False),
        ("uv sync --locked", "uv", False),
        ("text-embeddings-router --kv-cache-dtype", "textembeddingsrouter", False),
        ("httpx.ReadTimeout", "httpx", True),
    ],
)
def test_what_is_asked_of_a_tool_leads_to_its_pages(question: str, product: str | None, elsewhere: bool) -> None:
    """Before those of others, and to these only where the tool stands within the name or nowhere."""
    definitions = [focus for focus in leading(question) if any(c.field == "defines" for c in focus.conditions)]
    owners = {v: f.leads for f in definitions for c in f.conditions[1:] for v in getattr(c, "values", ())}
    others = [focus.leads for focus in definitions if len(focus.conditions) == 1]
    assert list(owners) == ([product] if product else [])
    assert bool(others) is elsewhere
    assert all(owner > other for owner in owners.values() for other in others)


@pytest.mark.parametrize("question", ["PydanticAI message history", "FlashRank listwise", "a TypeError in my code"])
def test_products_and_what_any_code_raises_are_no_names_to_look_up(question: str) -> None:
    read = understand(question, DAY)
    assert read.notes == ()
    assert not looked_for(question, "defines")


@pytest.mark.parametrize(
    ("question", "meant"),
    [
        ("QdrantHybridRetreiver", "qdranthybridretriever"),
        ("dspy.ChainOfThougth", "dspychainofthought"),
        ("uv --exlude-newer", "excludenewer"),
        ("UV_SYSTEM_PYHTON", "uvsystempython"),
    ],
)
def test_a_misspelt_name_is_looked_up_as_it_is_and_rightly_spelled(question: str, meant: str) -> None:
    assert {meant, key(question.split()[-1])} <= looked_for(question, "defines")
    (told,) = [focus for focus in understand(question, DAY).focuses if focus.missing]
    assert len(getattr(told.conditions[-1], "values", ())) == 2  # one of them is enough to be there


@pytest.mark.parametrize(
    ("question", "sides"),
    [
        ("uv sync vs uv pip sync", [("uv sync", ("uv",)), ("uv pip sync", ("uv", "pip"))]),
        ("Tool class in dspy vs haystack", [("Tool class in dspy", ("dspy",)), (None, ("haystack",))]),
    ],
)
def test_each_side_of_a_comparison_is_looked_for(
    question: str, sides: list[tuple[str | None, tuple[str, ...]]]
) -> None:
    read = understand(question, DAY)
    looked = [(f.text, getattr(f.conditions[0], "values", ())) for f in read.focuses if f.conditions]
    assert set(sides) <= set(looked)
    assert any(note.startswith("compared: ") for note in read.notes)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("what goes into pyproject.toml", ("pyproject.toml",)),
        ("what is ${section.name} in thinc", ()),
        ("dspy.Predict", ("dspy.Predict", "Predict")),
        ("what does uv cache prune do", ("uv cache prune",)),
        ("ruff formatter docs", ()),
    ],
)
def test_what_is_quoted_first_is_written_so(question: str, named: tuple[str, ...]) -> None:
    assert understand(question, DAY).named == named


def test_the_mention_of_a_rare_name_counts_in_a_longer_question() -> None:
    asked = "since the update it says that result_type was renamed to something else, in which release was that"
    (mentioned,) = [f for f in understand(asked, DAY).focuses if any(c.field == "mentions" for c in f.conditions)]
    assert mentioned.weight / 11 > 1 / 30  # its first stands before the question's own twentieth, RRF_K being 10


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
        ("read Excel files", "converter XLSX"),
        ("mask credit card numbers", "PII"),
        ("see the prompt that dspy sends", "inspect_history"),
        ("use a second LLM when OpenAI fails", "fallback"),
        ("zsh: command not found: llm", "PATH"),
        ("switch from poetry to uv", "migration"),
        ("make it answer in json", "structured output"),
        ("freeze the versions of all packages", "lockfile"),
    ],
)
def test_own_words_are_read_as_those_of_the_field(question: str, meant: str) -> None:
    read = understand(question, DAY)
    assert meant in read.text
    assert any(focus.text == question for focus in read.focuses)


@pytest.mark.parametrize(
    "question",
    [
        "attention mask",
        "uv default index",
        "which language models work with instructor",
        "random negatives",
        "freeze the rest of the layers",
        "when should I use uv add instead of uv pip install",
        "publish to pypi from github actions",
        "step-by-step reasoning",
        "regression loss",
        "uv --index-strategy unsafe-first-match",
        "the gpu_is_idle callback",
        "remember the parent headings",
    ],
)
def test_words_of_the_field_are_read_as_they_are(question: str) -> None:
    assert understand(question, DAY).text == question


def test_a_brand_is_a_word() -> None:
    assert understand("call OpenAI from PyTorch on GitHub", DAY).notes == ()


@pytest.mark.parametrize(
    "question",
    [
        "TypeError: MyClient.__init__() got an unexpected keyword argument 'proxies'",
        "why does my ShoppingCart not validate",
        "it hangs.then nothing",
        "ModuleNotFoundError: no module named my_own_package",
        "peer certificate: UnknownIssuer",
        "cannot load my_model: the file is broken",
        "TypeError since httpx 0.28",
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
        ("pydantic_ai.UsageLimit", ["pydantic_ai.UsageLimit"]),
        ("pydantic ai 9.0 release", ["pydantic-ai 9.0"]),
        ("ollama: command not found", ["ollama"]),
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
    assert missing("plz the typesense page is garbled", among=True) == ["nothing on 'typesense'"]


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
        ("haystack ranker, not cohere", "haystack ranker"),
        ("haystack reranker not from cohere", "haystack reranker"),
        ("embedders other than OpenAI in Haystack", "embedders in Haystack"),
        ("quantization on cpu not cross encoder", "quantization on cpu"),
        ("is the server not OpenAI compatible", "is the server not OpenAI compatible"),
        ("pipeline not using openai embeddings", "pipeline not using openai embeddings"),
        ("ValueError: not a docker image", "ValueError: not a docker image"),
    ],
)
def test_what_is_not_wanted_is_not_searched_for(question: str, searched: str) -> None:
    read = understand(question, DAY)
    assert read.text.split(" (")[0] == searched
    assert any(note.startswith("not searched for") for note in read.notes) == (question != searched)


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
        ("i have an app that is built with CrewAI, how do i port it to pydantic ai", "CrewAI"),
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

"""The official clients, unchanged, against a real server on this machine; and the service as a server of models."""

import gc
import warnings
from collections.abc import Iterator
from typing import Any

import cohere
import numpy as np
import openai
import pytest
from listening import listening

from overfetch import Environment, Overloaded, Workspace
from overfetch.environment import EmbedServer, RerankServer
from overfetch.models import find_profile
from overfetch_serve import create_app
from overfetch_serve.settings import ServiceSettings
from overfetch_serve.vendors.ranking import Ranker

QUERY = "what is the capital of France?"
DOCUMENTS = ["Bread is baked in an oven.", "Paris is the capital of France.", "Berlin is the capital of Germany."]
ALIASES = "rerank-v3.5=mini,text-embedding-3-small=mini,gpt-4o=builddaily,busy=mini"

# These clients leave their sockets to the collector, which may come in the middle of the next test.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Busy(Ranker):
    def rank(self, *args: Any, **kwargs: Any) -> Any:
        raise Overloaded("too much waits already")


@pytest.fixture(scope="module")
def address(samples: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = ServiceSettings(state=tmp_path_factory.mktemp("state"), aliases=ALIASES)
    app = create_app(["builddaily"], workspace=Workspace(samples), settings=settings)
    catalogue = app.state.service.catalogue
    known = catalogue.ranker("mini")
    del catalogue.aliases["busy"]
    catalogue.rankers["busy"] = Busy(known.embedder, known.reranker)
    with listening(app) as url:
        yield url


@pytest.fixture
def never_closed() -> Iterator[None]:
    """These clients have no `close` and leave their sockets to the collector."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("never_closed")
class TestCohere:
    @pytest.fixture
    def client(self, address: str) -> cohere.ClientV2:
        return cohere.ClientV2(api_key="none", base_url=address)

    def test_v2(self, client: cohere.ClientV2) -> None:
        answered = client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS, top_n=2, max_tokens_per_doc=100)
        assert [result.index for result in answered.results] == [1, 2]
        assert answered.meta is not None
        assert answered.meta.warnings

    def test_v1(self, address: str) -> None:
        client = cohere.Client(api_key="none", base_url=address)
        documents = [{"text": text} for text in DOCUMENTS]
        answered = client.rerank(model="mini", query=QUERY, documents=documents, return_documents=True)
        assert answered.results[0].document is not None
        assert answered.results[0].document.text == DOCUMENTS[1]

    def test_errors_are_its_own(self, client: cohere.ClientV2) -> None:
        with pytest.raises(cohere.NotFoundError) as missing:
            client.rerank(model="rerank-v9", query=QUERY, documents=DOCUMENTS)
        assert "mini" in missing.value.body["message"]
        with pytest.raises(cohere.BadRequestError):
            client.rerank(model="mini", query=" ", documents=DOCUMENTS)
        with pytest.raises(cohere.TooManyRequestsError):
            client.rerank(model="busy", query=QUERY, documents=DOCUMENTS, request_options={"max_retries": 0})


class TestOpenAI:
    @pytest.fixture
    def client(self, address: str) -> Iterator[openai.OpenAI]:
        with openai.OpenAI(api_key="none", base_url=f"{address}/v1", max_retries=0) as client:
            yield client

    def test_embeddings(self, client: openai.OpenAI) -> None:
        """It asks for base64 by itself, and gives numbers."""
        packed = client.embeddings.create(model="text-embedding-3-small", input=DOCUMENTS)
        plain = client.embeddings.create(model="mini:passage", input=DOCUMENTS, encoding_format="float")
        assert np.allclose([one.embedding for one in packed.data], [one.embedding for one in plain.data], atol=1e-6)
        assert packed.usage.total_tokens > 0
        with pytest.raises(openai.BadRequestError, match="384"):
            client.embeddings.create(model="mini", input="a", dimensions=2)
        kinds = client.embeddings.create(model="mini", input="a", extra_body={"input_type": "query"})
        assert len(kinds.data[0].embedding) == 384

    def test_models(self, client: openai.OpenAI) -> None:
        assert {"builddaily", "builddaily/chat", "gpt-4o", "mini"} <= {model.id for model in client.models.list()}
        assert client.models.retrieve("builddaily").id == "builddaily"

    def test_chat(self, client: openai.OpenAI) -> None:
        answered = client.chat.completions.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "What is Sage Daily?"}],
            temperature=0,
            extra_body={"overfetch": {"top_n": 3}},
        )
        assert answered.choices[0].message.content
        assert answered.model_extra is not None
        assert answered.model_extra["overfetch"]["citations"]
        with pytest.raises(openai.NotFoundError, match="builddaily"):
            client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "a"}])

    def test_chat_streamed(self, client: openai.OpenAI) -> None:
        chunks = list(
            client.chat.completions.create(
                model="builddaily", messages=[{"role": "user", "content": "What is Sage Daily?"}], stream=True
            )
        )
        assert "[1]" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"


@pytest.mark.usefixtures("never_closed")
class TestFrameworks:
    def test_llama_index(self, address: str) -> None:
        from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
        from llama_index.postprocessor.cohere_rerank import CohereRerank

        nodes = [NodeWithScore(node=TextNode(text=text), score=0.0) for text in DOCUMENTS]
        reranker = CohereRerank(api_key="none", model="rerank-v3.5", top_n=2, base_url=address)
        found = reranker.postprocess_nodes(nodes, QueryBundle(QUERY))
        assert [node.node.get_content() for node in found] == [DOCUMENTS[1], DOCUMENTS[2]]

    def test_haystack(self, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "false")
        from haystack import Document
        from haystack.utils import Secret
        from haystack_integrations.components.rankers.cohere import CohereRanker

        ranker = CohereRanker(model="rerank-v3.5", top_k=2, api_key=Secret.from_token("none"), api_base_url=address)
        found = ranker.run(query=QUERY, documents=[Document(content=text) for text in DOCUMENTS])["documents"]
        assert [document.content for document in found] == [DOCUMENTS[1], DOCUMENTS[2]]

    def test_overload_does_not_make_them_try_for_minutes(self, address: str) -> None:
        """They try 5xx again and again; what Cohere's own client does with a 429 is bounded."""
        from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
        from llama_index.postprocessor.cohere_rerank import CohereRerank

        reranker = CohereRerank(api_key="none", model="busy", base_url=address)
        with pytest.raises(cohere.TooManyRequestsError):
            reranker.postprocess_nodes([NodeWithScore(node=TextNode(text="a"), score=0.0)], QueryBundle(QUERY))


class TestOwnService:
    """`OVERFETCH_RERANK_URL` and `OVERFETCH_EMBED_URL` at one's own service change nothing of what is found."""

    @pytest.mark.parametrize(("api", "path"), [("infinity", "v2/rerank"), ("tei", "rerank")])
    def test_what_is_found_is_the_same(self, address: str, samples: Environment, api: Any, path: str) -> None:
        revision = find_profile("mini").embedder.revision
        elsewhere = samples.model_copy(
            update={
                "rerank": RerankServer(url=f"{address}/{path}", api=api),
                "embed": EmbedServer(url=f"{address}/v1/embeddings", revision=revision),
            }
        )
        with Workspace(samples) as here, Workspace(elsewhere) as there:
            own = here.site("builddaily").search("resources", "a vector database", include_candidates=True)
            remote = there.site("builddaily").search("resources", "a vector database", include_candidates=True)
        assert remote.rerank_status == "full"
        assert [hit.passage.id for hit in remote.candidates] == [hit.passage.id for hit in own.candidates]
        assert [hit.rerank_score for hit in remote.candidates] == pytest.approx(
            [hit.rerank_score for hit in own.candidates], abs=1e-3
        )

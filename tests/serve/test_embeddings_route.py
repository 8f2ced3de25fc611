"""`/v1/embeddings`: vectors as OpenAI gives them."""

import base64
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from overfetch import Environment, SettingsError, Workspace
from overfetch.models import find_profile
from overfetch.testing import FakeEmbedder
from overfetch_serve.vendors.embedding import TextEmbedder
from overfetch_serve.vendors.pace import Budget

TEXTS = ["Paris is the capital of France.", "Cats like milk."]


def post(client: TestClient, **body: object) -> Any:
    answered = client.post("/v1/embeddings", json={"model": "mini", "input": TEXTS, **body})
    assert answered.status_code == 200, answered.text
    return answered.json()


def test_vectors_are_those_of_the_embedder(client: TestClient) -> None:
    answered = post(client)
    with Workspace(Environment()) as workspace:
        own = workspace.embedder(find_profile("mini").embedder).embed_passages(TEXTS)
    assert np.allclose([one["embedding"] for one in answered["data"]], own, atol=1e-5)
    assert [one["index"] for one in answered["data"]] == [0, 1]
    assert answered["usage"]["prompt_tokens"] == answered["usage"]["total_tokens"] > 0
    assert answered["truncated_tokens"] == 0


def test_base64_holds_the_same_numbers(client: TestClient) -> None:
    packed = [base64.b64decode(one["embedding"]) for one in post(client, encoding_format="base64")["data"]]
    plain = [one["embedding"] for one in post(client)["data"]]
    assert np.array_equal([np.frombuffer(one, "<f4") for one in packed], np.array(plain, np.float32))


def test_what_was_cut_is_counted(client: TestClient) -> None:
    assert post(client, input="milk " * 300)["truncated_tokens"] > 0


@pytest.mark.parametrize(
    ("changed", "status", "told"),
    [
        ({"input": [1, 2, 3]}, 400, "send texts"),
        ({"input": [[1, 2], [3]]}, 400, "send texts"),
        ({"input": ""}, 400, "empty"),
        ({"input": []}, 400, "no text"),
        ({"dimensions": 1_536}, 400, "384"),
        ({"input_type": "image"}, 400, "input_type"),
        ({"colour": "red"}, 400, "colour"),
        ({"model": "text-embedding-9"}, 404, "mini"),
    ],
)
def test_what_is_not_allowed_is_said_as_openai_says_it(
    client: TestClient, changed: dict[str, object], status: int, told: str
) -> None:
    answered = client.post("/v1/embeddings", json={"model": "mini", "input": TEXTS, **changed})
    assert answered.status_code == status
    assert answered.json()["error"]["type"] == "invalid_request_error"
    assert told in answered.json()["error"]["message"]


def test_the_models_own_dimension_may_be_asked_for(client: TestClient) -> None:
    assert len(post(client, dimensions=384)["data"][0]["embedding"]) == 384


@pytest.mark.parametrize("changed", [{"model": "mini:query"}, {"input_type": "search_query"}, {"input_type": "query"}])
def test_a_query_may_be_said_to_be_one(client: TestClient, changed: dict[str, object]) -> None:
    assert post(client, **changed)["data"]


class TestPrefixes:
    """A model that reads queries and passages differently is never left to guess."""

    @pytest.fixture
    def embedder(self) -> TextEmbedder:
        fake = FakeEmbedder()
        fake.spec = fake.spec.model_copy(update={"query_prefix": "ask: ", "passage_prefix": "told: "})
        return TextEmbedder(fake)

    def test_texts_that_have_their_prefix_are_known_by_it(self, embedder: TextEmbedder) -> None:
        time = Budget.of(1_000, alone=True)
        prefixed = embedder.embed(["ask: milk"], None, time).vectors
        assert np.array_equal(prefixed, embedder.embed(["milk"], "query", time).vectors)

    def test_texts_without_one_are_refused(self, embedder: TextEmbedder) -> None:
        with pytest.raises(SettingsError, match="input_type"):
            embedder.embed(["ask: milk", "milk"], None, Budget.of(1_000, alone=True))

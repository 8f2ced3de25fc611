"""`/v1/chat/completions` and `/v1/models`: sites as models of OpenAI's shape."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from language_model import Model, fields, passages, quote

from overfetch_serve.keys import Keys
from overfetch_serve.vendors.chat import FOOTNOTES, Message, turns
from overfetch_serve.vendors.chunks import TAKEN_BACK

PATH = "/v1/chat/completions"
QUESTION = "What is Sage Daily?"
OF_THE_RUN = {"timings_ms", "ignored"}


def chat(question: str = QUESTION, model: str = "builddaily", **more: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": question}], **more}


def ask(client: TestClient, **body: Any) -> dict[str, Any]:
    answered: dict[str, Any] = client.post("/v1/builddaily/chat/ask", json=body).json()
    return answered


def same(told: dict[str, Any], own: dict[str, Any]) -> bool:
    """But for what differs from run to run, in each part too."""
    parts = zip(told.get("parts", ()), own.get("parts", ()), strict=True)
    ignored = {*OF_THE_RUN, "parts"}
    return all(told[name] == own[name] for name in own if name not in ignored) and all(same(*pair) for pair in parts)


def test_an_answer_has_footnotes_and_what_ask_answers(client: TestClient) -> None:
    answered = client.post(PATH, json=chat()).json()
    own = ask(client, question=QUESTION)
    assert same(answered["overfetch"], own)
    text, _, notes = answered["choices"][0]["message"]["content"].partition(FOOTNOTES)
    assert text == own["answer"]
    assert len(notes.splitlines()) == len(own["citations"]) > 0
    assert notes.startswith("[1] ")
    assert answered["choices"][0]["finish_reason"] == "stop"


def test_a_collection_may_be_the_model(client: TestClient) -> None:
    answered = client.post(PATH, json=chat("a cross-encoder to run locally", "builddaily/resources")).json()
    assert answered["overfetch"]["collection"] == "builddaily/resources"


def test_earlier_messages_are_the_history(client: TestClient) -> None:
    earlier = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": f"A site.{FOOTNOTES}[1] Sage Daily: “...”"},
        {"role": "user", "content": [{"type": "text", "text": "And what does it cost?"}]},
    ]
    answered = client.post(PATH, json={"model": "builddaily", "messages": earlier}).json()["overfetch"]
    history = [{"question": QUESTION, "answer": "A site."}]
    own = ask(client, question="And what does it cost?", history=history)
    assert same(answered, own)
    assert own["query"] != ask(client, question="And what does it cost?")["query"]
    assert answered["ignored"] == ["messages of the role 'system'"]


def test_parts_and_filters_are_taken_as_ask_takes_them(client: TestClient) -> None:
    options = {"parts": ["Sage Daily", "Paid Daily"], "top_n": 2}
    answered = client.post(PATH, json=chat("Which sites are there?", overfetch=options)).json()["overfetch"]
    own = ask(client, question="Which sites are there?", **options)
    assert same(answered, own)
    assert [part["query"] for part in own["parts"]] == options["parts"]


def streamed(client: TestClient, **more: Any) -> list[dict[str, Any]]:
    answered = client.post(PATH, json=chat(stream=True, **more))
    assert answered.status_code == 200, answered.text
    *lines, last = [line for line in answered.text.splitlines() if line]
    assert last == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


class TestStreams:
    def test_a_stream_tells_the_same(self, client: TestClient) -> None:
        whole, chunks = client.post(PATH, json=chat()).json(), streamed(client)
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert text_of(chunks) == whole["choices"][0]["message"]["content"]
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
        assert same(chunks[-1]["overfetch"], whole["overfetch"])

    def test_sentences_come_as_they_are_checked(self, asking: TestClient) -> None:
        chunks = streamed(asking)
        assert chunks[-1]["overfetch"]["mode"] == "lm"
        assert text_of(chunks).startswith(chunks[-1]["overfetch"]["answer"] + FOOTNOTES)
        assert len(chunks) > 4

    def test_what_was_sent_is_taken_back_in_words(self, asking: TestClient, model: Model) -> None:
        """The chunks of this shape cannot take the place of others."""
        why = "The first says so [1]. And then it goes on [1]."
        model.reply = lambda messages: fields(quotes=[quote(passages(messages)[0])], page=1, why=why)
        chunks = streamed(asking, model="builddaily/resources")
        answer = chunks[-1]["overfetch"]
        assert answer["mode"] == "extractive"
        before, _, after = text_of(chunks).partition(TAKEN_BACK)
        assert "The first says so" in before
        assert after.startswith(answer["answer"] + FOOTNOTES)

    def test_what_the_search_refuses_is_no_stream(self, client: TestClient) -> None:
        answered = client.post(PATH, json=chat(" ", stream=True))
        assert (answered.status_code, answered.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (chat(""), 400, "empty"),
        (chat(model="gpt-9"), 404, "builddaily/chat"),
        (chat(model="builddaily/nothing"), 404, "builddaily/chat"),
        (chat(n=2), 400, "n"),
        (chat(tools=[{"type": "function"}]), 400, "tools"),
        (chat(response_format={"type": "json_object"}), 400, "response_format"),
        (chat(as_of="2022-01-01"), 400, "as_of: give it under `overfetch`"),
        (chat(overfetch={"colour": "red"}), 400, "colour"),
        (chat(overfetch={"where": ["colour=red"]}), 400, "colour"),
        ({"model": "builddaily", "messages": [{"role": "assistant", "content": "Yes."}]}, 400, "last"),
        ({"model": "builddaily", "messages": []}, 400, "messages"),
        ({"model": "builddaily", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "text"),
    ],
)
def test_what_is_not_allowed_is_said_as_openai_says_it(
    client: TestClient, body: dict[str, Any], status: int, told: str
) -> None:
    answered = client.post(PATH, json=body)
    assert answered.status_code == status
    assert told in answered.json()["error"]["message"]


def test_what_tunes_a_model_is_ignored_and_said(client: TestClient) -> None:
    answered = client.post(PATH, json=chat(temperature=0, max_tokens=10, tools=[])).json()
    assert answered["overfetch"]["ignored"] == ["temperature", "max_tokens", "tools"]


def test_a_greeting_before_the_first_question_is_no_turn() -> None:
    said = [
        Message(role="assistant", content="Hello!"),
        Message(role="user", content="a"),
        Message(role="user", content="b"),
    ]
    assert [(turn.question, turn.answer) for turn in turns(said)] == [("a", ""), ("b", "")]


class TestModels:
    def test_sites_and_models_are_listed(self, opened: Callable[..., FastAPI]) -> None:
        with TestClient(opened(aliases="gpt-4o=sagedaily,rerank-v3.5=mini")) as client:
            listed = {model["id"]: model["kinds"] for model in client.get("/v1/models").json()["data"]}
            one = client.get("/v1/models/builddaily/chat").json()
            missing = client.get("/v1/models/other")
        assert listed["sagedaily/canon"] == listed["gpt-4o"] == ["chat"]
        assert listed["mini"] == listed["rerank-v3.5"] == ["rerank", "embed"]
        assert listed["all-minilm-l6-v2"] == ["embed"]
        assert one["object"] == "model"
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")

    def test_a_key_knows_what_it_may_use(self, opened: Callable[..., FastAPI], tmp_path: Path) -> None:
        keys = Keys(tmp_path / "keys.json")
        _, asks = keys.add(("sagedaily",), ("ask",))
        _, ranks = keys.add((), ("rerank",))
        with TestClient(opened(keys=keys.path)) as client:

            def names(secret: str) -> set[str]:
                answered = client.get("/v1/models", headers={"Authorization": f"Bearer {secret}"})
                return {model["id"].partition("/")[0] for model in answered.json()["data"]}

            def posted(secret: str, path: str, body: object) -> Any:
                return client.post(path, json=body, headers={"Authorization": f"Bearer {secret}"})

            assert names(asks) == {"sagedaily"}
            assert "mini" in names(ranks)
            assert not names(ranks) & {"sagedaily", "builddaily"}
            other, unknown = (posted(asks, PATH, chat(model=name)) for name in ("builddaily", "nowhere"))
            assert other.status_code == unknown.status_code == 404
            assert other.text.replace("builddaily", "nowhere") == unknown.text
            assert posted(ranks, PATH, chat()).status_code == 403
            assert posted(ranks, "/v1/embeddings", {"model": "mini", "input": "a"}).status_code == 200
            for path, body in (
                ("/v1/embeddings", {"model": "mini", "input": "a"}),
                ("/rerank", {"query": "a", "texts": ["b"]}),
            ):
                assert posted(asks, path, body).status_code == 403
            assert client.post(PATH, json=chat()).json()["error"]["code"] == "invalid_api_key"

"""`POST .../ask` as server-sent events: sentences once they are checked, and taken back where others replace them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient
from language_model import BOGUS, Messages, Model, fields, honest, in_chat, learning, passages, quote

from overfetch_serve import streaming
from overfetch_serve.watching import RERANK_STATUS

CHAT, RESOURCES = "/v1/builddaily/chat/ask", "/v1/builddaily/resources/ask"
QUESTION = "What is Sage Daily?"

Event = tuple[str, Any]


def stream(client: TestClient, path: str = CHAT) -> list[Event]:
    answered = client.post(path, json={"question": QUESTION}, headers={"Accept": "text/event-stream"})
    assert answered.status_code == 200, answered.text
    assert answered.headers["content-type"].startswith("text/event-stream")
    return list(parse(answered.text))


def parse(text: str) -> Iterator[Event]:
    for block in text.strip().split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.splitlines())
        yield lines["event"], json.loads(lines["data"])


def shown(events: Sequence[Event]) -> tuple[str, dict[int, dict[str, Any]]]:
    """What a client that applies the events shows in the end, and the citations that it knows."""
    text, citations = "", dict[int, dict[str, Any]]()
    for name, data in events:
        if name == "replace":
            text, citations = data["text"], {}
        elif name == "delta":
            text += data["text"]
        elif name == "citation":
            citations[data.pop("number")] = data
    return text, citations


def names(events: Sequence[Event]) -> list[str]:
    return [name for name, _ in events]


def require_the_same_shown_as_answered(events: Sequence[Event]) -> dict[str, Any]:
    assert names(events)[-1] == "answer"
    answer: dict[str, Any] = events[-1][1]
    text, citations = shown(events)
    assert text == answer["answer"]
    assert [citations[n] for n in sorted(citations)] == answer["citations"]
    return answer


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_the_head_of_an_answer_says_how_it_was_reranked(client: TestClient, accept: str) -> None:
    answered = client.post(CHAT, json={"question": QUESTION}, headers={"Accept": accept})
    assert answered.headers["content-type"].startswith(accept)
    assert answered.headers[RERANK_STATUS] == "full"
    chat = {"model": "builddaily", "messages": [{"role": "user", "content": QUESTION}], "stream": "event" in accept}
    assert client.post("/v1/chat/completions", json=chat).headers[RERANK_STATUS] == "full"


def test_sentences_and_their_citations_come_one_by_one(asking: TestClient) -> None:
    events = stream(asking)
    answer = require_the_same_shown_as_answered(events)
    told = ["The first says so [1].", " Then, the second says more. [2]", " Both do [1][2]."]
    assert names(events) == ["retrieval", "delta", "citation", "delta", "citation", "delta", "answer"]
    assert [data["text"] for name, data in events if name == "delta"] == told
    assert answer["mode"] == "lm"
    assert events[0][1]["hits"] == answer["hits"]
    plain = asking.post(CHAT, json={"question": QUESTION}).json()
    for name in ("answer", "citations", "hits", "mode"):
        assert plain[name] == answer[name]


def test_a_refused_citation_is_never_shown_as_one(asking: TestClient, model: Model) -> None:
    def careless(messages: Messages) -> str:
        return honest(messages).replace(json.dumps(quote(passages(messages)[1])["quote"]), json.dumps(BOGUS))

    model.reply = careless
    events = stream(asking)
    answer = require_the_same_shown_as_answered(events)
    assert [refused["citation"]["quote"] for refused in answer["refused"]] == [BOGUS]
    assert [data["text"] for name, data in events if name == "delta"] == [
        "The first says so [1].",
        " Then, the second says more. [unverified]",
        " Both do [1].",
    ]
    assert "replace" not in names(events), "the second attempt was no better"


def test_a_better_second_attempt_takes_the_place_of_the_first(asking: TestClient, model: Model) -> None:
    model.reply = learning
    events = stream(asking)
    answer = require_the_same_shown_as_answered(events)
    assert names(events) == ["retrieval", "delta", "citation", "replace", "citation", "answer"]
    assert answer["answer"] == "Better so [1]. It says no more [1]."
    assert answer["refused"] == []


def test_quotes_take_the_place_of_a_reply_that_cannot_be_read(asking: TestClient, model: Model) -> None:
    """Its last field lacks; what came before was shown."""

    def incomplete(messages: Messages) -> str:
        why = "The first says so [1]. And then it goes on [1]."
        return fields(quotes=[quote(passages(messages)[0])], page=1, why=why)

    model.reply = incomplete
    events = stream(asking, RESOURCES)
    answer = require_the_same_shown_as_answered(events)
    assert names(events)[:4] == ["retrieval", "delta", "citation", "replace"]
    assert answer["mode"] == "extractive"
    assert answer["reason"]


def test_quotes_take_the_place_of_a_reply_that_was_cut(asking: TestClient, model: Model) -> None:
    def long(messages: Messages) -> str:
        return in_chat([quote(passages(messages)[0])], "It says so [1]. " * 200)

    model.reply, model.shares["cut"] = long, 1.0
    events = stream(asking)
    answer = require_the_same_shown_as_answered(events)
    assert names(events).count("replace") == 1
    assert names(events).count("delta") > 10
    assert answer["mode"] == "extractive"


def test_nothing_is_shown_of_an_answer_without_any_citation_that_holds(asking: TestClient, model: Model) -> None:
    model.reply = lambda messages: in_chat([{"passage": 1, "quote": BOGUS}], "It is so [1]. Believe me [1].")
    events = stream(asking)
    answer = require_the_same_shown_as_answered(events)
    assert "replace" not in names(events)
    assert answer["mode"] == "extractive"


def test_without_a_language_model_the_quotes_are_streamed(client: TestClient) -> None:
    events = stream(client)
    answer = require_the_same_shown_as_answered(events)
    assert names(events)[:2] == ["retrieval", "delta"]
    assert answer["mode"] == "extractive"


def test_each_part_of_a_question_has_its_retrieval(client: TestClient) -> None:
    body = {"question": "Shall I move?", "parts": ["The Tower, reversed", "The Fool, upright"]}
    answered = client.post("/v1/sagedaily/canon/ask", json=body, headers={"Accept": "text/event-stream"})
    events = list(parse(answered.text))
    assert names(events)[:2] == ["retrieval", "retrieval"]
    answer = require_the_same_shown_as_answered(events)
    assert [data for name, data in events if name == "retrieval"] == answer["parts"]


@pytest.mark.parametrize(("body", "status"), [({"question": " "}, 422), ({"question": "So?", "where": ["x=1"]}, 422)])
def test_what_fails_before_anything_is_found_is_a_problem(client: TestClient, body: object, status: int) -> None:
    answered = client.post(CHAT, json=body, headers={"Accept": "text/event-stream"})
    assert answered.status_code == status
    assert answered.headers["content-type"] == "application/problem+json"


def test_a_stream_that_says_nothing_for_long_says_so(
    asking: TestClient, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comment, which clients pass over: proxies close what is silent."""
    monkeypatch.setattr(streaming, "PING_S", 0.01)
    model.delay = 0.1
    answered = asking.post(CHAT, json={"question": QUESTION}, headers={"Accept": "text/event-stream"})
    assert ": ping\n\n" in answered.text
    require_the_same_shown_as_answered(list(parse(answered.text.replace(": ping\n\n", ""))))

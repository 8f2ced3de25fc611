"""`/v1/{site}/{collection}/search` and `/ask`: the answer of the engine, as JSON."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from overfetch import Environment, SettingsError, Workspace
from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch_serve.settings import ServiceSettings, read_settings

QUERY = "cross-encoder that reorders retrieved passages locally"
SEARCH, ASK = "/v1/builddaily/resources/search", "/v1/builddaily/chat/ask"
OF_THE_RUN = {"timings_ms"}


def test_a_search_over_http_is_that_of_the_engine(client: TestClient, samples: Environment) -> None:
    answered = client.post(SEARCH, json={"query": QUERY, "top_n": 3, "where": ["kind=tool"]}).json()
    with Workspace(samples) as workspace:
        own = workspace.site("builddaily").search("resources", QUERY, top_n=3, where=["kind=tool"], deadline_ms=5_000)
    expected = RetrievalDocument.of(own).model_dump(mode="json")
    assert {k: v for k, v in answered.items() if k not in OF_THE_RUN} == {
        k: v for k, v in expected.items() if k not in OF_THE_RUN
    }
    assert answered["hits"]
    assert answered["rerank_status"] == "full"


def test_candidates_come_where_they_are_asked_for(client: TestClient) -> None:
    without = client.post(SEARCH, json={"query": QUERY}).json()
    within = client.post(SEARCH, json={"query": QUERY, "include_candidates": True}).json()
    assert "candidates" not in without
    assert within["hits"] == without["hits"]
    assert len(within["candidates"]) > len(within["hits"])


def test_an_answer_over_http_is_that_of_the_engine(client: TestClient, samples: Environment) -> None:
    answered = client.post(ASK, json={"question": "What is Sage Daily?"}).json()
    with Workspace(samples) as workspace:
        own = workspace.site("builddaily").ask("What is Sage Daily?", deadline_ms=5_000)
    expected = AnswerDocument.of_answer(own).model_dump(mode="json")
    assert answered["answer"] == expected["answer"]
    assert answered["citations"] == expected["citations"]
    assert answered["mode"] == "extractive"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "query"),
        ({"query": QUERY, "top_k": 10**20}, "top_k"),
        ({"query": QUERY, "top_n": 9, "top_k": 5}, "cannot exceed"),
        ({"query": QUERY, "where": ["colour=red"]}, "colour"),
        ({"query": QUERY, "nonsense": 1}, "nonsense"),
        ({"query": "   "}, "empty"),
        ({"query": QUERY, "as_of": "2024-01-01"}, "as_of"),
    ],
)
def test_what_is_not_allowed_is_a_problem_that_names_it(client: TestClient, body: object, told: str) -> None:
    answered = client.post(SEARCH, json=body)
    assert answered.status_code == 422
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.json()["type"] == "SettingsError"
    assert told in answered.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/nosite/resources/search", "/v1/builddaily/nothing/search"])
def test_an_unknown_site_or_collection_is_not_found(client: TestClient, path: str) -> None:
    answered = client.post(path, json={"query": QUERY})
    assert (answered.status_code, answered.json()["type"]) == (404, "NotFound")


def test_the_time_of_a_request_is_bounded(client: TestClient, opened: Callable[..., FastAPI]) -> None:
    """A search that has next to no time gives the first stage's order, and says so."""
    unread = {"query": "what nobody has asked yet of this service"}  # scores of what was read are remembered
    short = client.post(SEARCH, json=unread, headers={"Overfetch-Deadline-Ms": "0.001"}).json()
    assert short["rerank_status"] == "skipped"
    assert "deadline" in short["rerank_reason"]
    assert short["hits"]
    with TestClient(opened(longest_deadline_ms=0.001)) as bounded:
        assert bounded.post(SEARCH, json={**unread, "deadline_ms": 60_000}).json()["rerank_status"] == "skipped"


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERFETCH_SERVE_CONCURRENCY", "3")
    assert ServiceSettings.read().concurrency == 3


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"DEADLINE_MS": "2000", "LONGEST_DEADLINE_MS": "1000"}, r"DEADLINE_MS \(2000\) cannot exceed"),
        ({"CORS_ORIGINS": "https://a.example, b.example"}, "'b.example' is no origin"),
        ({"CORS_ORIGINS": "https://a.example/"}, "https://example.org"),
    ],
)
def test_settings_that_would_be_passed_over_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OVERFETCH_SERVE_{name}", value)
    with pytest.raises(SettingsError, match=told):
        read_settings()


def test_not_all_that_is_wrong_is_told(client: TestClient) -> None:
    refused = client.post(SEARCH, json={"query": QUERY, **{f"wrong{number}": "x" * 100_000 for number in range(5)}})
    assert refused.status_code == 422
    assert len(refused.text) < 2_000
    more = client.post(SEARCH, json={"query": QUERY, **{f"wrong{number}": number for number in range(50)}})
    assert more.json()["detail"].endswith("; and 40 more")

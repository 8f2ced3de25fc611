"""A reranker that hangs: what is in hand is answered, and nothing waits for it."""

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from overfetch import Environment, Workspace
from overfetch.errors import ModelError
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker
from overfetch_serve import create_app
from overfetch_serve.in_time import MOST_LATE, InTime
from overfetch_serve.settings import ServiceSettings

PASSAGES = ["the sun rises", "a train leaves"]


class Hanging(FakeReranker):
    """Answers once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = threading.Event()

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        self.let_go.wait()
        return super().score(query, passages, None)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    reranker = Hanging()
    yield reranker
    reranker.let_go.set()


def test_in_time_it_is_the_same() -> None:
    usual = FakeReranker()
    patient = InTime(usual)
    for deadline in (None, time.monotonic() + 60):
        assert patient.score("the sun", PASSAGES, deadline) == usual.score("the sun", PASSAGES)
    failing = InTime(FakeReranker(failure=ModelError("broken")))
    with pytest.raises(ModelError, match="broken"):
        failing.score("the sun", PASSAGES, time.monotonic() + 60)


def test_late_calls_are_given_up_and_counted(hanging: Hanging) -> None:
    patient = InTime(hanging)
    threads = [threading.Thread(target=_give_up, args=[patient]) for _ in range(MOST_LATE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with pytest.raises(ModelError, match=f"{MOST_LATE} calls .* have not come back"):
        patient.score("the sun", PASSAGES, time.monotonic() + 60)
    hanging.let_go.set()
    until = time.monotonic() + 60
    while patient.late and time.monotonic() < until:
        time.sleep(0.01)
    assert patient.score("the sun", PASSAGES, time.monotonic() + 60) == FakeReranker().score("the sun", PASSAGES)


def _give_up(patient: InTime) -> None:
    with pytest.raises(ModelError, match="did not answer by the deadline"):
        patient.score("the sun", PASSAGES, time.monotonic())


def test_a_request_is_answered_in_first_stage_order(samples: Environment, hanging: Hanging, tmp_path: Path) -> None:
    workspace, settings = Workspace(samples), ServiceSettings(state=tmp_path)
    app = create_app(["sagedaily"], workspace=workspace, settings=settings)
    with TestClient(app) as client:
        engine = app.state.service.engine("sagedaily")
        expected = engine.search("canon", "the sun", rerank=False)
        engine.reranker = InTime(hanging)
        asked = {"query": "the sun", "deadline_ms": 500}
        answer = client.post("/v1/sagedaily/canon/search", json=asked).json()
        quoted = client.post("/v1/sagedaily/canon/ask", json={"question": "the sun", "deadline_ms": 500}).json()
    assert [hit["passage_id"] for hit in answer["hits"]] == [hit.passage.id for hit in expected.hits]
    assert answer["rerank_status"] == quoted["rerank_status"] == "failed"
    assert "did not answer by the deadline" in answer["rerank_reason"]
    assert quoted["citations"]

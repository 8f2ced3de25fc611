"""Nothing that is served names a path of the server's disk."""

from collections.abc import Sequence

import pytest
from fastapi.testclient import TestClient
from mcp import Client, MCPError

from overfetch.errors import AnswerError, CorpusError, ModelError, OverfetchError, RecallLoss, SettingsError
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker
from overfetch_serve import create_app
from overfetch_serve.agents.server import Agents
from overfetch_serve.errors import NotFound
from overfetch_serve.keys import ANYBODY
from overfetch_serve.paths import without_folders
from overfetch_serve.problems import problem
from overfetch_serve.service import Service

FOLDER = "/srv/of-theirs"
FILE = f"{FOLDER}/cache/model.onnx"
SEARCH, ASK = "/v1/builddaily/chat/search", "/v1/builddaily/chat/ask"
QUESTION = "What is Sage Daily, as asked by who looks for paths?"
LOCAL = ("127.0.0.1", 50_000)


class Broken(FakeReranker):
    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        raise ModelError(f"{FILE} is not the pinned file")


@pytest.fixture
def broken(asking: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """Neither its reranker nor its answer module can be read."""

    def load(path: str) -> None:
        raise AnswerError(f"cannot load the answer module {path!r}: cannot import name 'x' ({FILE})")

    monkeypatch.setattr("overfetch.answering.load_answer_function", load)
    service: Service = asking.app.state.service  # type: ignore[attr-defined]
    service.engine("builddaily").reranker = Broken()
    return asking


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_reasons_have_none(broken: TestClient, accept: str) -> None:
    chat = {"model": "builddaily/chat", "messages": [{"role": "user", "content": QUESTION}]}
    answers = [
        broken.post(SEARCH, json={"query": QUESTION}),
        broken.post(ASK, json={"question": QUESTION}, headers={"Accept": accept}),
        broken.post(ASK, json={"question": QUESTION, "parts": [QUESTION, "once more"]}, headers={"Accept": accept}),
        broken.post("/v1/chat/completions", json={**chat, "stream": "stream" in accept}),
    ]
    for answered in answers:
        assert answered.status_code == 200, answered.text
        assert "model.onnx is not the pinned file" in answered.text
        assert FOLDER not in answered.text
    assert "cannot import name 'x' (model.onnx)" in answers[1].text


@pytest.fixture
def agents(broken: TestClient) -> Agents:
    return Agents(broken.app.state.service, lambda context: ANYBODY)  # type: ignore[attr-defined]


async def test_agents_are_told_of_none(agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise PermissionError(13, "not allowed", FILE)

    async with Client(agents.server(), raise_exceptions=False) as client:
        found = await client.call_tool("search_builddaily_chat", {"query": QUESTION})
        assert "model.onnx is not the pinned file" in str(found)
        monkeypatch.setattr("overfetch_serve.agents.server.find_passage", fails)
        with pytest.raises(MCPError) as unread:
            await client.read_resource("overfetch://builddaily/chat/passages/x")
        monkeypatch.setattr(agents.service, "engine", fails)
        failed = await client.call_tool("search_builddaily_chat", {"query": QUESTION})
    assert failed.is_error
    assert FOLDER not in f"{found} {unread.value} {failed}"


def test_whoever_runs_it_reads_them_in_the_log(
    broken: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(["builddaily"], settings=broken.app.state.service.settings)  # type: ignore[attr-defined]

    def fails() -> None:
        raise ModelError(f"{FILE} is not the pinned file")

    monkeypatch.setattr(app.state.service.engine("builddaily"), "warm_up", fails)
    with TestClient(app, client=LOCAL) as client:
        assert client.get("/readyz").json()["parts"]["builddaily"] == "ModelError: model.onnx is not the pinned file"
    assert FILE in caplog.text


@pytest.mark.parametrize("kind", [AnswerError, CorpusError, ModelError, OverfetchError, RecallLoss, SettingsError])
def test_problems_have_none(kind: type[OverfetchError]) -> None:
    assert problem(kind(f"{FILE}: it is broken")).detail == "model.onnx: it is broken"


def test_addresses_of_the_service_are_no_paths() -> None:
    assert problem(NotFound("no model; see /v1/models")).detail == "no model; see /v1/models"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[Errno 2] No such file or directory: '/srv/My Pages/a.md'", "[Errno 2] No such file or directory: 'a.md'"),
        ('"C:\\Users\\Ann Smith\\a.md" is missing', '"a.md" is missing'),
        ("OVERFETCH_QDRANT is 'file:/srv/store'", "OVERFETCH_QDRANT is 'file:store'"),
        ("OVERFETCH_QDRANT is file:///srv/a/store", "OVERFETCH_QDRANT is file:store"),
        (r"a text of '\n', '\t \x00' and '\u200b'", None),
        (r"\\server\share\a.md: no title", "a.md: no title"),
        ("~/.cache/overfetch/x and ~ann/x", "x and x"),
        ("see https://example.org/a/b, or docs/a.md, 1/2 or and/or", None),
    ],
)
def test_folders_are_left_out(text: str, told: str | None) -> None:
    assert without_folders(text) == (told or text)

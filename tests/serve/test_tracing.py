"""Spans by OpenTelemetry's conventions, as an SDK records them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from overfetch import SettingsError
from overfetch_serve.tracing import export_where_asked

SEARCH, ASK = "/v1/sagedaily/canon/search", "/v1/sagedaily/canon/ask"
SUN = {"query": "the sun", "top_k": 5, "top_n": 2}
CALLER = "0af7651916cd43dd8448eb211c80319c"
SENDING = """
from overfetch_serve.tracing import Tracing, export_where_asked
export_where_asked()
Tracing().reranked("model", candidates=3, top_n=2, status="full", ms=5)
"""


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """One provider a process is all that the API allows."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[Callable[[], list[ReadableSpan]]]:
    exporter.clear()
    yield lambda: [span for span in exporter.get_finished_spans() if _is_own(span)]
    exporter.clear()


def _is_own(span: ReadableSpan) -> bool:
    """FastAPI makes others, of its own work."""
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == "overfetch_serve"


Spans = Callable[[], list[ReadableSpan]]


def attributes(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def test_a_search_is_a_retrieval_with_a_rerank_inside(spans: Spans, client: TestClient) -> None:
    traced = {"traceparent": f"00-{CALLER}-b7ad6b7169203331-01", "X-Request-ID": "mine"}
    answered = client.post(SEARCH, json=SUN, headers=traced).json()
    rerank, retrieval = spans()
    assert (retrieval.name, retrieval.kind) == ("retrieval sagedaily/canon", SpanKind.CLIENT)
    assert attributes(retrieval) == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.provider.name": "overfetch",
        "gen_ai.data_source.id": "sagedaily/canon",
        "gen_ai.request.top_k": 5.0,
        "overfetch.rerank.status": "full",
        "overfetch.request_id": "mine",
    }
    assert rerank.name == f"rerank {answered['provenance']['reranker']}"
    assert attributes(rerank) == {
        "gen_ai.operation.name": "rerank",
        "gen_ai.provider.name": "overfetch",
        "gen_ai.request.model": answered["provenance"]["reranker"],
        "gen_ai.rerank.candidate.count": 5,
        "gen_ai.rerank.top_n": 2,
        "overfetch.rerank.status": "full",
        "overfetch.request_id": "mine",
    }
    assert rerank.parent is not None
    context = retrieval.get_span_context()
    assert context is not None
    assert rerank.parent.span_id == context.span_id
    assert f"{context.trace_id:032x}" == CALLER
    assert "candidates" not in answered


def test_texts_and_scores_are_there_where_they_are_asked_for(spans: Spans, opened: Callable[..., FastAPI]) -> None:
    with TestClient(opened(trace_content=True)) as client:
        answered = client.post(SEARCH, json=SUN).json()
    rerank, retrieval = spans()
    assert attributes(retrieval)["gen_ai.retrieval.query.text"] == "the sun"
    documents = json.loads(str(attributes(retrieval)["gen_ai.retrieval.documents"]))
    assert documents == [{"id": hit["passage_id"], "score": hit["rerank_score"]} for hit in answered["hits"]]
    scores = attributes(rerank)["gen_ai.rerank.scores"]
    assert isinstance(scores, tuple)
    assert len(scores) == 5


def test_a_question_in_parts_is_one_retrieval(spans: Spans, client: TestClient) -> None:
    client.post(ASK, json={"question": "What do they mean?", "parts": ["the sun", "the moon"], "top_k": 5})
    assert sorted(span.name.split()[0] for span in spans()) == ["rerank", "rerank", "retrieval"]


def test_without_rerank_there_is_none(spans: Spans, client: TestClient) -> None:
    client.post(SEARCH, json={**SUN, "rerank": False})
    (retrieval,) = spans()
    assert attributes(retrieval)["overfetch.rerank.status"] == "off"


def test_an_error_is_named_and_nothing_of_its_text(spans: Spans, client: TestClient) -> None:
    client.post(SEARCH, json={**SUN, "where": ["secret=word"]})
    (retrieval,) = spans()
    assert retrieval.status.status_code == StatusCode.ERROR
    assert attributes(retrieval)["error.type"] == "SettingsError"
    assert "secret" not in retrieval.to_json()


def test_nothing_is_exported_unasked(monkeypatch: pytest.MonkeyPatch, exporter: InMemorySpanExporter) -> None:
    before = trace.get_tracer_provider()
    export_where_asked()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    export_where_asked()  # a provider is there: it is whoever's set it
    assert trace.get_tracer_provider() is before


def test_spans_are_sent_where_the_variable_says() -> None:
    """In a process of its own, since the API takes one provider."""
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        where = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
        done = subprocess.run([sys.executable, "-c", SENDING], env=os.environ | where, capture_output=True, text=True)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    ((path, spans),) = received
    assert path == "/v1/traces"
    assert b"gen_ai.rerank.candidate.count" in spans


def test_an_exporter_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    with pytest.raises(SettingsError, match=r"overfetch-serve\[otel\]"):
        export_where_asked()

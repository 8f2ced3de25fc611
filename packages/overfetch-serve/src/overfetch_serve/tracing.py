"""Spans by OpenTelemetry's conventions for generative AI: `retrieval SITE/COLLECTION`, and `rerank MODEL` within.

Names of the second are those of its open proposal (semantic-conventions-genai#253). Texts and scores are theirs only
where `trace_content` is set. They lie within the span that FastAPI itself makes of a request, which joins the trace
that `traceparent` names. Without an SDK nothing is recorded.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from overfetch.extras import needing
from overfetch.settings import RetrievalSettings
from overfetch.types import Hit, RerankStatus, Retrieval
from overfetch_serve.seen import current

Attributes = dict[str, AttributeValue]
ASKED_BY = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Tracing:
    """Makes the spans of one application; `content` puts texts and scores into them."""

    def __init__(self, content: bool = False) -> None:
        self._content = content
        self._tracer = trace.get_tracer("overfetch_serve", version("overfetch-serve"))

    @contextmanager
    def retrieval(self, collection: str, settings: RetrievalSettings) -> Iterator[Span]:
        """Around a retrieval; an error ends it with the error's name, and without its message."""
        attributes: Attributes = {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.provider.name": "overfetch",
            "gen_ai.data_source.id": collection,
            "gen_ai.request.top_k": float(settings.top_k),
            **_of_request(),
        }
        with self._tracer.start_as_current_span(
            f"retrieval {collection}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield span
            except Exception as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def retrieved(self, span: Span, retrieval: Retrieval, top_n: int) -> None:
        """What came of it, and its second stage as a span of its own."""
        span.set_attribute("overfetch.rerank.status", retrieval.rerank_status)
        if self._content:
            documents = [{"id": hit.passage.id, "score": _score(hit)} for hit in retrieval.hits]
            span.set_attribute("gen_ai.retrieval.query.text", retrieval.query)
            span.set_attribute("gen_ai.retrieval.documents", json.dumps(documents))
        if retrieval.rerank_status != "off":
            self.reranked(
                retrieval.provenance["reranker"],
                candidates=len(retrieval.candidates),
                top_n=top_n,
                status=retrieval.rerank_status,
                ms=retrieval.timings_ms.rerank,
                scores=[hit.rerank_score for hit in retrieval.candidates if hit.rerank_score is not None],
            )

    def reranked(
        self,
        model: str,
        *,
        candidates: int,
        top_n: int,
        status: RerankStatus,
        ms: float,
        scores: Sequence[float] = (),
    ) -> None:
        """A second stage that ended just now, after so many milliseconds."""
        ended = time.time_ns()
        attributes: Attributes = {
            "gen_ai.operation.name": "rerank",
            "gen_ai.provider.name": "overfetch",
            "gen_ai.request.model": model,
            "gen_ai.rerank.candidate.count": candidates,
            "gen_ai.rerank.top_n": top_n,
            "overfetch.rerank.status": status,
            **_of_request(),
        }
        if self._content:
            attributes["gen_ai.rerank.scores"] = list(scores)
        span = self._tracer.start_span(
            f"rerank {model}", kind=SpanKind.CLIENT, attributes=attributes, start_time=ended - round(ms * 1_000_000)
        )
        if status == "failed":
            span.set_status(Status(StatusCode.ERROR, status))
        span.end(ended)


def _of_request() -> Attributes:
    seen = current.get()
    return {"overfetch.request_id": seen.request_id} if seen else {}


def _score(hit: Hit) -> float:
    return hit.first_stage_score if hit.rerank_score is None else hit.rerank_score


def export_where_asked() -> None:
    """Sends spans where OTEL_EXPORTER_OTLP_ENDPOINT says. Raises SettingsError where the extra is missing."""
    if not any(map(os.environ.get, ASKED_BY)) or not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", "overfetch")
    with needing("otel", "overfetch-serve"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

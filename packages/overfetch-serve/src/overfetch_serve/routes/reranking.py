"""`/v2/rerank` (Cohere's), `/v1/rerank` (Cohere's older, Jina's) and `/rerank` (Text Embeddings Inference's).

All documents are scored, or the request is refused.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from overfetch.errors import SettingsError
from overfetch.requests import Query
from overfetch_serve.access import CurrentService, DeadlineHeader, RawScoresHeader, allowed, budget
from overfetch_serve.service import Service
from overfetch_serve.vendors.bodies import Body
from overfetch_serve.vendors.pace import Budget
from overfetch_serve.vendors.ranking import Ranker, Ranking
from overfetch_serve.vendors.shapes import COHERE, TEI
from overfetch_serve.vendors.tokens import Tokens

router = APIRouter(tags=["other vendors' shapes"], dependencies=[allowed("rerank")])

MOST_DOCUMENTS, DOCUMENTS_IN_A_UNIT = 10_000, 100  # as Cohere has them
MOST_FIELDS = 32  # each is looked for in every document
WARNINGS = "Overfetch-Warnings"  # where a body has no place for them

OneOrMore = Field(min_length=1, max_length=MOST_DOCUMENTS)


class Asked(Body):
    """`raw_scores` (not Cohere's) asks for the cross-encoder's logits alone."""

    model_config = ConfigDict(extra="allow")

    query: Query
    top_n: int | None = Field(default=None, gt=0)
    max_tokens_per_doc: int = Field(default=4_096, gt=0)
    raw_scores: bool = False
    priority: int = Field(default=0, ge=0, le=999)


class CohereRequest(Asked):
    model: str
    documents: Annotated[list[str], OneOrMore]


class OlderRequest(Asked):
    """Cohere's before, and Jina's: documents may be objects, read by their `rank_fields`."""

    model: str | None = None
    documents: Annotated[list[str | dict[str, Any]], OneOrMore]
    rank_fields: list[str] = Field(default=["text"], min_length=1, max_length=MOST_FIELDS, fail_fast=True)
    return_documents: bool = False


class TeiRequest(Body):
    """`model` and `top_n` are not TEI's. `truncate` changes nothing: long texts are read whole, in windows, unless the
    service is told to cut them.
    """

    model_config = ConfigDict(extra="allow")

    query: Query
    texts: Annotated[list[str], OneOrMore]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: str | None = None
    model: str | None = None
    top_n: int | None = Field(default=None, gt=0)


class Result(BaseModel):
    index: int
    relevance_score: float
    document: dict[str, Any] | None = None


class Meta(BaseModel):
    api_version: dict[str, str]
    billed_units: dict[str, int]
    tokens: dict[str, int] | None = None
    warnings: tuple[str, ...] | None = None


class CohereResponse(BaseModel):
    id: str
    results: list[Result]
    meta: Meta


class OlderResponse(CohereResponse):
    model: str
    object: str = "list"
    usage: dict[str, int] | None


class TeiRank(BaseModel):
    index: int
    score: float
    text: str | None = None


@router.post("/v2/rerank", response_model_exclude_none=True, responses=COHERE.responses)
async def cohere(
    asked: CohereRequest, service: CurrentService, deadline_ms: DeadlineHeader = None, raw: RawScoresHeader = False
) -> CohereResponse:
    """Cohere's shape: every document's relevance to the query, best first."""
    asked.raw_scores |= raw
    ranker, time = service.catalogue.ranker(asked.model), budget(service, deadline_ms)
    return await service.work_by(time.patience, _answer, service, ranker, asked, asked.documents, time, "2")


@router.post("/v1/rerank", response_model_exclude_none=True, responses=COHERE.responses)
async def older(
    asked: OlderRequest, service: CurrentService, deadline_ms: DeadlineHeader = None, raw: RawScoresHeader = False
) -> OlderResponse:
    """Cohere's older shape, which is Jina's too: documents may be objects, and come back if asked for."""
    asked.raw_scores |= raw
    ranker, time = service.catalogue.ranker(asked.model), budget(service, deadline_ms)
    texts = [_text(document, asked.rank_fields) for document in asked.documents]
    answer = await service.work_by(time.patience, _answer, service, ranker, asked, texts, time, "1")
    if asked.return_documents:
        answer = answer.model_copy(update={"results": [_with_document(r, asked.documents) for r in answer.results]})
    tokens = answer.meta.tokens
    usage = {"total_tokens": tokens["input_tokens"]} if tokens else None
    return OlderResponse(**dict(answer), model=asked.model or ranker.reranker.spec.name, usage=usage)


@router.post("/rerank", response_model_exclude_none=True, responses=TEI.responses)
async def tei(
    asked: TeiRequest, response: Response, service: CurrentService, deadline_ms: DeadlineHeader = None
) -> list[TeiRank]:
    """Text Embeddings Inference's shape."""
    ranker, time = service.catalogue.ranker(asked.model), budget(service, deadline_ms)
    ranking = await service.work_by(
        time.patience, _rank, service, ranker, asked.query, asked.texts, time, asked.raw_scores, asked.top_n
    )
    if warnings := (*ranking.warnings, *_without_effect(asked)):
        response.headers[WARNINGS] = "; ".join(warnings).encode("ascii", "backslashreplace").decode()
    texts = asked.texts if asked.return_text else [None] * len(asked.texts)
    return [TeiRank(index=i, score=ranking.scores[i], text=texts[i]) for i in ranking.places[: asked.top_n]]


def _answer(
    service: Service, ranker: Ranker, asked: Asked, texts: list[str], budget: Budget, version: str
) -> CohereResponse:
    tokens = Tokens.of(ranker.reranker.spec)
    cut = tokens.cut(texts, asked.max_tokens_per_doc)
    ranking = _rank(service, ranker, asked.query, cut.texts, budget, asked.raw_scores, asked.top_n)
    read = tokens.count(asked.query, cut.texts)
    return CohereResponse(
        id=str(uuid4()),
        results=[Result(index=i, relevance_score=ranking.scores[i]) for i in ranking.places[: asked.top_n]],
        meta=Meta(
            api_version={"version": version},
            billed_units={"search_units": -(-len(texts) // DOCUMENTS_IN_A_UNIT)},
            tokens=None if read is None else {"input_tokens": read, "output_tokens": 0},
            warnings=(*ranking.warnings, *cut.warnings, *_without_effect(asked)) or None,
        ),
    )


def _rank(
    service: Service, ranker: Ranker, query: str, texts: list[str], budget: Budget, raw: bool, top_n: int | None = None
) -> Ranking:
    """All of the texts; whoever watches the service is told."""
    ranking = ranker.rank(query, texts, budget, raw=raw)
    service.watching.reranked(
        ranker.reranker.spec.identity,
        candidates=len(texts),
        top_n=min(top_n or len(texts), len(texts)),
        status="full",
        ms=ranking.ms,
        truncated_tokens=ranking.truncated_tokens,
    )
    return ranking


def _without_effect(asked: Body) -> Iterator[str]:
    yield from (f"{name!r} has no effect here" for name in asked.model_extra or ())
    if isinstance(asked, Asked) and asked.priority:
        yield "priority has no effect: requests are served in the order in which they arrive"


def _with_document(result: Result, documents: Sequence[str | dict[str, Any]]) -> Result:
    given = documents[result.index]
    return result.model_copy(update={"document": {"text": given} if isinstance(given, str) else given})


def _text(document: str | dict[str, Any], fields: Sequence[str]) -> str:
    """What is read of a document. Raises SettingsError."""
    if isinstance(document, str):
        return document
    if missing := [field for field in fields if field not in document]:
        has = ", ".join(document) or "none"
        raise SettingsError(f"a document lacks the fields to rank by ({', '.join(missing)}); it has: {has}")
    return "\n".join(str(document[field]) for field in fields)

"""The one JSON form of retrievals, answers and generations: of the command line and of every service."""

import operator
from datetime import UTC, datetime
from typing import Any, Self

from pydantic import Field

from overfetch.protocols import Generation
from overfetch.types import (
    Answer,
    AnswerMode,
    Citation,
    Frozen,
    Hit,
    Metadata,
    Reading,
    RefusedCitation,
    RerankStatus,
    Retrieval,
    Timings,
    Written,
)

WHERE_THERE_ARE: Any = Field(default=(), exclude_if=operator.not_)


class HitDocument(Frozen):
    """A hit with its passage; see `overfetch.Hit` and `overfetch.Passage`."""

    rank: int
    passage_id: str
    document_id: str
    title: str
    breadcrumb: str
    text: str
    metadata: Metadata
    first_stage_rank: int
    first_stage_score: float
    rerank_score: float | None

    @classmethod
    def of(cls, hit: Hit) -> Self:
        passage = hit.passage
        return cls(
            rank=hit.rank,
            passage_id=passage.id,
            document_id=passage.document_id,
            title=passage.title,
            breadcrumb=passage.breadcrumb,
            text=passage.text,
            metadata=passage.metadata,
            first_stage_rank=hit.first_stage_rank,
            first_stage_score=hit.first_stage_score,
            rerank_score=hit.rerank_score,
        )


class RetrievalDocument(Frozen):
    """A retrieval; see `overfetch.Retrieval`. `candidates` are there where they were asked for."""

    query: str
    collection: str
    understood: Reading | None
    hits: tuple[HitDocument, ...]
    candidates: tuple[HitDocument, ...] = WHERE_THERE_ARE
    rerank_status: RerankStatus
    rerank_reason: str | None
    truncated_tokens: int | None
    timings_ms: Timings
    provenance: dict[str, str]

    @classmethod
    def of(cls, retrieval: Retrieval) -> Self:
        return cls(
            query=retrieval.query,
            collection=retrieval.collection,
            understood=retrieval.understood,
            hits=tuple(map(HitDocument.of, retrieval.hits)),
            candidates=tuple(map(HitDocument.of, retrieval.candidates)),
            rerank_status=retrieval.rerank_status,
            rerank_reason=retrieval.rerank_reason,
            truncated_tokens=retrieval.truncated_tokens,
            timings_ms=retrieval.timings_ms,
            provenance=dict(retrieval.provenance),
        )


class AnswerDocument(RetrievalDocument):
    """An answer with all the hits that ground it; a question in parts has the retrieval of each under `parts`, and of
    the first what belongs to one.
    """

    parts: tuple[RetrievalDocument, ...] = WHERE_THERE_ARE
    answer: str
    found: bool
    mode: AnswerMode
    reason: str | None
    citations: tuple[Citation, ...]
    refused: tuple[RefusedCitation, ...]
    coverage: float | None
    written: Written | None = Field(default=None, exclude_if=operator.not_)

    @classmethod
    def of_answer(cls, answer: Answer) -> Self:
        parts = tuple(map(RetrievalDocument.of, answer.retrievals))
        return cls.model_validate(
            {
                **dict(parts[0]),
                "query": parts[0].query if len(parts) == 1 else answer.question,
                "hits": tuple(hit for part in parts for hit in part.hits),
                "candidates": parts[0].candidates if len(parts) == 1 else (),
                "parts": parts if len(parts) > 1 else (),
                **{name: getattr(answer, name) for name in ("answer", "found", "mode", "reason")},
                **{name: getattr(answer, name) for name in ("citations", "refused", "coverage", "written")},
            }
        )


class GenerationDocument(Generation):
    """A generation and its age in seconds, None where what made it cannot be read."""

    age_s: int | None

    @classmethod
    def of(cls, generation: Generation) -> Self:
        made = generation.provenance
        age = (datetime.now(UTC) - datetime.fromisoformat(made.created)).total_seconds() if made else None
        return cls(**dict(generation), age_s=None if age is None else round(age))

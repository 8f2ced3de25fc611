"""The data that travels through Overfetch: frozen, validated, without behaviour of their own."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal, Self
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, Field, model_validator

from overfetch.redacting import keep_secret

MetadataValue = str | int | float | bool | list[str] | None
Metadata = Mapping[str, MetadataValue]
Comparable = Sequence[str | float]
RerankStatus = Literal["full", "listwise", "fallback", "partial", "skipped", "off", "failed"]
ALL_READ: tuple[RerankStatus, ...] = ("full", "listwise", "fallback")
AnswerMode = Literal["lm", "extractive"]
OnRefused = Literal["flag", "drop"]

Report = Callable[[str], None]
"""Called with what a person may want to know while it happens."""

PASSAGE_NAMESPACE = UUID("6f1c9a52-3f0e-5c53-9a4b-0f9c1de2a7b1")


class Frozen(BaseModel):
    """Refuses unknown fields and changes. What is not used is not built: a program that only imports starts at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Document(Frozen):
    """One source document: a page, a record, an event. `text` is Markdown or plain text."""

    id: str = Field(min_length=1)
    title: str
    text: str
    metadata: Metadata = Field(default_factory=dict)


class Chunk(Frozen):
    """What a chunker makes of a document: a breadcrumb, the text under it, metadata of its own.

    `lookups` are fields that stores compare and nobody is shown, such as the names that a passage is found by.
    """

    breadcrumb: str
    text: str
    metadata: Metadata = Field(default_factory=dict)
    lookups: Metadata = Field(default_factory=dict)


class Passage(Frozen):
    """One retrievable text. `id` is uuid5 of document id and position: stable over runs and stores.

    `filters` is what stores compare, made of the metadata when the passage is indexed; a passage read from a store
    comes without.
    """

    id: str
    document_id: str
    title: str
    breadcrumb: str
    text: str
    position: int
    metadata: Metadata
    filters: Mapping[str, Comparable] = Field(default_factory=dict, exclude=True, repr=False)

    @classmethod
    def of(cls, document: Document, position: int, chunk: Chunk) -> "Passage":
        """The chunk's metadata override the document's; None takes one away."""
        metadata = {**document.metadata, **chunk.metadata}
        return cls(
            id=cls.id_of(document.id, position),
            document_id=document.id,
            title=document.title,
            breadcrumb=chunk.breadcrumb,
            text=chunk.text,
            position=position,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )

    @staticmethod
    def id_of(document_id: str, position: int) -> str:
        """A UUID that the same document and position always have."""
        return str(uuid5(PASSAGE_NAMESPACE, f"{document_id}\x1f{position}"))

    @property
    def reading(self) -> str:
        """What the models read: breadcrumb and text."""
        return f"{self.breadcrumb}\n{self.text}" if self.breadcrumb else self.text

    @property
    def content_hash(self) -> str:
        """Half a sha256 of what the models read and half a one of everything that is stored, 64 hexadecimal digits.

        Any change means an upsert; with the first half unchanged, the vectors are still right.
        """
        stored = {**self.model_dump(), "filters": self.filters}
        return reading_digest(self.reading) + _digest(json.dumps(stored, sort_keys=True))


def reading_digest(reading: str) -> str:
    """The first half of the content hash of every passage of which the models read this."""
    return _digest(reading)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class Candidate(Frozen):
    """A passage as the first stage returned it. `score` is comparable within one query only."""

    passage: Passage
    score: float


class Hit(Frozen):
    """A kept passage. `rank` is final (from 1); `rerank_score` is a raw logit, None where not scored or in a list.

    `leads`: by what was understood of the question it goes before all else.
    """

    rank: int
    passage: Passage
    first_stage_rank: int
    first_stage_score: float
    rerank_score: float | None = None
    leads: bool = False


class Timings(Frozen):
    """Milliseconds per stage."""

    embed: float
    search: float
    rerank: float
    total: float


class AsOf(Frozen):
    """What was known by then: the passage's `field` is a date no later than `moment`."""

    field: str
    moment: datetime


class Reading(Frozen):
    """What was read into a question: `text` is what was searched for, `notes` tell in words what was understood.

    `named` is what it names, as texts write it.
    `given_up`: nothing met the `conditions`, so it was searched without them. `missing` names what the question asks
    for and the collection does not hold.
    """

    text: str
    conditions: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    given_up: bool = False
    missing: tuple[str, ...] = ()


class Retrieval(Frozen):
    """The outcome of one query: hits in final order and how they came about.

    `understood` is None where the query was searched for as it is written; `read` is what the second stage read beside
    each passage, by default the query. `candidates` are all that were retrieved, in final order, where asked for.
    `rerank_status`: the reranker scored all candidates (`full`), or a language model ordered them as one list
    (`listwise`), or it should have, and the reranker scored them all (`fallback`); or not all were scored.
    `truncated_tokens` were not read, beyond the reranker's limit or its budget for a query; None where a remote server
    does not say how many. `tokens_read` are those of its model runs, of which remembered scores need none; None where
    nobody counts them.
    """

    query: str
    collection: str
    as_of: AsOf | None = None
    understood: Reading | None = None
    read: str | None = None
    hits: tuple[Hit, ...]
    candidates: tuple[Hit, ...] = ()
    rerank_status: RerankStatus
    rerank_reason: str | None = None
    truncated_tokens: int | None = 0
    tokens_read: int | None = None
    timings_ms: Timings
    provenance: Mapping[str, str]


class Citation(Frozen):
    """A verbatim quote from a retrieved passage."""

    passage_id: str
    document_id: str
    quote: str


class Turn(Frozen):
    """An earlier turn of a chat."""

    question: str
    answer: str = ""


class RefusedCitation(Frozen):
    """A citation that does not hold, and why."""

    citation: Citation
    reason: str


class Written(Frozen):
    """What writing an answer took: milliseconds, and replies of the language model with the tokens that it read and
    wrote, None where the server does not say; `program` is the compiled one that answered. The reply that made a
    follow-up stand alone is not counted.
    """

    lm: str
    program: str | None
    replies: int
    input_tokens: int | None
    output_tokens: int | None
    ms: float


class Answer(Frozen):
    """An answer with its checked citations and the retrievals that ground it; `[n]` names the nth citation.

    `found` is False where the sources hold no answer. `coverage` is the share of its sentences with a citation that
    holds; None where nothing is claimed. `written` is None where the answer is quoted.
    """

    question: str
    answer: str
    mode: AnswerMode
    reason: str | None = None
    found: bool = True
    citations: tuple[Citation, ...]
    refused: tuple[RefusedCitation, ...] = ()
    coverage: float | None = None
    written: Written | None = None
    retrievals: tuple[Retrieval, ...]


class AnswerSoFar(Frozen):
    """The sentences that a language model has completed, checked as those of an Answer.

    The next one mostly begins with the same text. Where it does not, a later attempt or the fall-back to quotes has
    taken this one's place.
    """

    answer: str
    citations: tuple[Citation, ...]


class LanguageModel(Frozen):
    """Which language model answers: any DSPy model string, where it is served, and what one request may take.

    `timeout_s` bounds the whole request, tries and all; `retries` are those of the transport. `max_tokens` bounds a
    reply, `token_budget` prompt and replies of all tries: turns and passages that don't fit are left out. `rewrites`:
    whether it is asked what a chat's question means, before that is searched for; it may take a quarter of both.
    """

    name: str
    api_base: str | None = Field(default=None, repr=False)
    api_key: str | None = Field(default=None, repr=False)
    timeout_s: float = 60.0
    retries: int = Field(default=1, ge=0)
    max_tokens: int | None = Field(default=None, gt=0)
    token_budget: int | None = Field(default=None, gt=0)
    rewrites: bool = False

    @model_validator(mode="after")
    def _keeps_its_secrets(self) -> Self:
        keep_secret(self.api_key, self.api_base)
        return self

    def within(self, milliseconds: float | None) -> Self:
        """The same with no more time than that."""
        if milliseconds is None:
            return self
        return self.model_copy(update={"timeout_s": min(self.timeout_s, milliseconds / 1000)})

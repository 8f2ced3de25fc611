"""Settings of retrieval: frozen, checked when made. Live objects never live here."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self, TypedDict, Unpack

from pydantic import BaseModel, Field, ValidationError, model_validator

from overfetch.errors import SettingsError
from overfetch.redacting import redacted
from overfetch.types import Frozen

LONGEST_SHOWN = 80  # characters of what was given, in an error
LONGEST_READ = 4_000  # of them, in which secrets are looked for
MOST_EXPLAINED = 10

PassageCount = Annotated[int, Field(gt=0, le=1_000)]
Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Depth = Annotated[int, Field(gt=0, le=100)]
Weight = Annotated[float, Field(gt=0, le=10)]
RankConstant = Annotated[int, Field(gt=0, le=100_000)]
Tokens = Annotated[int, Field(ge=0, le=10_000_000)]
FirstStage = Literal["hybrid", "dense", "bm25"]
Fusion = Literal["dbsf", "rrf"]


class SettingsOptions(TypedDict, total=False):
    """What one call may set in place of the site's own RetrievalSettings; None keeps those."""

    top_k: int | None
    top_n: int | None
    first_stage: FirstStage | None
    rerank: bool | None
    rerank_lm: bool | None
    one_per_document: bool | None
    deadline_ms: float | None
    prefetch: int | None
    fusion: Fusion | None
    rrf_k: int | None
    order_weight: float | None


class SettingsOverrides(Frozen):
    """The same, checked."""

    top_k: PassageCount | None = None
    top_n: PassageCount | None = None
    first_stage: FirstStage | None = None
    rerank: bool | None = None
    rerank_lm: bool | None = None
    one_per_document: bool | None = None
    deadline_ms: Milliseconds | None = None
    prefetch: Depth | None = None
    fusion: Fusion | None = None
    rrf_k: RankConstant | None = None
    order_weight: Share | None = None


class RetrievalSettings(Frozen):
    """How many passages each stage handles, and how.

    `rerank_lm`: whether the language model of OVERFETCH_RERANK_LM orders the candidates, by default where there is one;
    `prefetch` is the depth of the dense and of the BM25 list before fusion, as a multiple of `top_k`;
    `fusion` merges both by rank (RRF) or by score (DBSF, Qdrant's distribution-based fusion: where each score lies
    within three deviations of its list's mean); `rrf_k` is the constant of RRF (Cormack et al. 2009 use 60), and
    `bm25_weight` the weight of BM25's list in it, beside 1 of the dense one: DBSF has none;
    `one_per` is a metadata field: where one a document is kept, documents with the same value of it count as one;
    `order_weight` is the reranker's share in the final order (1: its logits alone), by default the one fitted for
    the model. Of what leads (`Focus.leads`), values of the metadata field `balance`, such as an author, take turns.
    `pairs` bounds how many passages the parts of one question read together; `read_tokens` what the reranker reads for
    one query, by default as its model does, 0 for all. OVERFETCH_RERANK_TOKENS goes before it, and the faster model of
    OVERFETCH_FASTER keeps its own.
    """

    top_k: PassageCount = 20
    top_n: PassageCount = 5
    first_stage: FirstStage = "hybrid"
    rerank: bool = True
    rerank_lm: bool | None = None
    one_per_document: bool = False
    one_per: str | None = None
    deadline_ms: Milliseconds | None = None
    prefetch: Depth = 5
    fusion: Fusion = "dbsf"
    rrf_k: RankConstant = 60
    bm25_weight: Weight = 1.0
    order_weight: Share | None = None
    balance: str | None = None
    pairs: PassageCount | None = None
    read_tokens: Tokens | None = None

    @model_validator(mode="after")
    def _keep_at_most_what_is_read(self) -> Self:
        if self.top_n > self.top_k:
            raise ValueError(f"top_n ({self.top_n}) cannot exceed top_k ({self.top_k})")
        return self

    def shared_by(self, parts: int) -> "RetrievalSettings":
        """Those of each of so many parts of one question; never fewer than are kept."""
        if self.pairs is None or parts == 1:
            return self
        return self.model_copy(update={"top_k": min(self.top_k, max(self.top_n, self.pairs // parts))})

    def deadline(self, asked_at: float) -> float | None:
        """When the time of a request is over that was sent then, both as `time.monotonic()`."""
        return None if self.deadline_ms is None else asked_at + self.deadline_ms / 1000

    def override(self, **changes: Unpack[SettingsOptions]) -> "RetrievalSettings":
        """A copy with every change that is not None, checked again. Raises SettingsError."""
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return RetrievalSettings.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            raise SettingsError(explain(error)) from error


def explain(error: ValidationError, prefix: str = "") -> str:
    """A pydantic error in one line: field, value given, what is allowed; of many the first."""
    parts = []
    for problem in error.errors()[:MOST_EXPLAINED]:
        field = ".".join(str(part) for part in problem["loc"])
        name = prefix + (field.upper() if prefix else field)
        given = f" (given {shortened(problem['input'])})" if field else ""
        parts.append(f"{name}: {problem['msg']}{given}" if field else problem["msg"].removeprefix("Value error, "))
    return "; ".join(parts)


def require_list(name: str, given: object, of: str) -> None:
    """Raises SettingsError where one was given bare: its letters or fields would be taken for many."""
    if isinstance(given, str | bytes | Mapping | BaseModel) or not isinstance(given, Iterable):
        raise SettingsError(f"{name}: give a list of {of}, also of a single one (given {shortened(given)})")


def shortened(given: object) -> str:
    """What was given, in an error: without secrets, and not all of what is long."""
    text = repr(given)
    shown = redacted(text[:LONGEST_READ])
    return shown if len(text) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}… ({len(text)} characters)"

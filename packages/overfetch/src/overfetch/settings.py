"""Settings of retrieval: frozen, checked when made. Live objects never live here."""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from overfetch.errors import SettingsError
from overfetch.types import Frozen


class RetrievalSettings(Frozen):
    """How many passages each stage handles, and how.

    `prefetch` is the depth of the dense and of the BM25 list before fusion, as a multiple of `top_k`;
    `fusion` merges both by rank (RRF) or by score (DBSF, Qdrant's distribution-based fusion: where each score lies
    within three deviations of its list's mean); `rrf_k` is the constant of RRF (Cormack et al. 2009 use 60);
    `order_weight` is the reranker's share in the final order (1: its logits alone), by default the one fitted for
    the model.
    """

    top_k: int = Field(default=20, gt=0)
    top_n: int = Field(default=5, gt=0)
    first_stage: Literal["hybrid", "dense", "bm25"] = "hybrid"
    rerank: bool = True
    one_per_document: bool = False
    deadline_ms: float | None = Field(default=None, gt=0)
    prefetch: int = Field(default=5, gt=0)
    fusion: Literal["dbsf", "rrf"] = "dbsf"
    rrf_k: int = Field(default=60, gt=0)
    order_weight: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _keep_at_most_what_is_read(self) -> Self:
        if self.top_n > self.top_k:
            raise ValueError(f"top_n ({self.top_n}) cannot exceed top_k ({self.top_k})")
        return self

    def override(self, **changes: Any) -> "RetrievalSettings":
        """A copy with every change that is not None, checked again. Raises SettingsError."""
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return RetrievalSettings(**{**self.model_dump(), **given})
        except ValidationError as error:
            raise SettingsError(explain(error)) from error


def explain(error: ValidationError, prefix: str = "") -> str:
    """A pydantic error in one line: field, value given, what is allowed."""
    parts = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"])
        name = prefix + (field.upper() if prefix else field)
        given = f" (given {problem['input']!r})" if field else ""
        parts.append(f"{name}: {problem['msg']}{given}" if field else problem["msg"].removeprefix("Value error, "))
    return "; ".join(parts)

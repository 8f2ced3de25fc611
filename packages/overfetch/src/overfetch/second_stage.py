"""The second stage of one list: a language model orders it where one is to, else the reranker scores its passages."""

import logging
import math
import time
from collections.abc import Sequence
from typing import NamedTuple

from overfetch.errors import ModelError, OverfetchError, SettingsError
from overfetch.models import ModelSpec
from overfetch.protocols import ListReranker, Reranker
from overfetch.redacting import redacted
from overfetch.settings import RetrievalSettings
from overfetch.types import Candidate, RerankStatus

log = logging.getLogger(__name__)

SHARE_OF_TIME = 0.75  # of what is left until the deadline, for a language model: the rest is the reranker's


class Reranked(NamedTuple):
    """Logits of the first candidates, or the places of all, best first, and how the second stage went.

    `served_by` is the identity of what read, where that is not the usual model; `spec` that of the faster one, if so.
    """

    logits: list[float]
    status: RerankStatus
    reason: str | None = None
    truncated_tokens: int | None = 0
    spec: ModelSpec | None = None
    listed: Sequence[int] | None = None
    served_by: str | None = None
    tokens_read: int | None = None


def rerank(
    query: str,
    candidates: Sequence[Candidate],
    reranker: Reranker,
    settings: RetrievalSettings,
    deadline: float | None,
    lister: ListReranker | None = None,
    parts: int = 1,
) -> Reranked:
    """The second stage; never raises, since the candidates in hand are worth more than an error."""
    if not settings.rerank:
        return Reranked([], "off", "switched off in the settings")
    if not candidates:
        return Reranked([], "skipped", "the first stage found nothing")
    texts = [candidate.passage.reading for candidate in candidates]
    wanted = settings.rerank_lm if settings.rerank_lm is not None else lister is not None
    if not wanted or len(texts) == 1:
        return _scored(query, texts, reranker, settings, deadline)
    try:
        return _listed(query, texts, lister, deadline, parts)
    except Exception as error:
        said = str(error) if isinstance(error, OverfetchError) else f"{type(error).__name__}: {error}"
        told = redacted(f"not ordered by the language model: {said}")
        log.warning("reranking with the reranker: %s", told)
    scored = _scored(query, texts, reranker, settings, deadline)
    status: RerankStatus = "fallback" if scored.status == "full" else scored.status
    return scored._replace(status=status, reason="; ".join(filter(None, [told, scored.reason])))


def _listed(
    query: str, texts: Sequence[str], lister: ListReranker | None, deadline: float | None, parts: int
) -> Reranked:
    """Raises OverfetchError where there is no order, and whatever else a lister raises."""
    if lister is None:
        raise SettingsError("none is configured as second stage (OVERFETCH_RERANK_LM)")
    now = time.monotonic()
    until = None if deadline is None else now + (deadline - now) * SHARE_OF_TIME
    found = lister.order(query, texts, until, parts)
    if sorted(found.places) != [*range(len(texts))]:
        raise ModelError(f"{[*found.places]} is no order of {len(texts)} passages")
    repaired = f"the language model's list had {found.repaired} numbers missing, twice or made up"
    told = repaired if found.repaired else None
    return Reranked([], "listwise", told, found.truncated_tokens, listed=found.places, served_by=lister.identity)


def _scored(
    query: str, texts: Sequence[str], reranker: Reranker, settings: RetrievalSettings, deadline: float | None
) -> Reranked:
    try:
        scores = reranker.score(query, texts, deadline)
        _require_usable(scores.logits, len(texts))
    except Exception as error:
        reason = redacted(f"{type(error).__name__}: {error}")
        log.warning("reranking failed, keeping first-stage order: %s", reason)
        return Reranked([], "failed", reason)
    read = len(scores.logits)
    status: RerankStatus = "full" if read == len(texts) else "partial" if read else "skipped"
    limit = "the deadline" if settings.deadline_ms is None else f"the deadline of {settings.deadline_ms} ms"
    reason = f"{limit} allowed {read} of {len(texts)} passages"
    if scores.spec is not None:
        reason += f", read by the faster {scores.spec.name}"
    told = [] if status == "full" and scores.spec is None else [reason]
    if scores.truncated_tokens and (most := (scores.spec or reranker.spec).read_tokens):
        told.append(f"{scores.truncated_tokens} tokens of long passages were left out: {most} a query are read")
    return Reranked(
        scores.logits,
        status,
        "; ".join(told) or None,
        scores.truncated_tokens,
        scores.spec,
        served_by=scores.spec.identity if scores.spec else None,
        tokens_read=scores.tokens_read,
    )


def _require_usable(logits: Sequence[float], passages: int) -> None:
    if len(logits) > passages:
        raise ModelError(f"the reranker returned {len(logits)} scores for {passages} passages")
    if not all(map(math.isfinite, logits)):
        raise ModelError("the reranker returned scores that are not finite numbers")

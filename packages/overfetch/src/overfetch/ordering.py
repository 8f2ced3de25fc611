"""The final order: what leads, then both stages' scores weighed together; and what each part of a question keeps."""

from collections.abc import Sequence
from itertools import count
from statistics import fmean, pstdev

from overfetch.first_stage import NOTHING_LEADS, Leading, in_turns, kept_once
from overfetch.settings import RetrievalSettings
from overfetch.types import Candidate, Hit


def order(
    candidates: Sequence[Candidate],
    logits: Sequence[float],
    settings: RetrievalSettings,
    fitted_weight: float,
    leading: Leading = NOTHING_LEADS,
    listed: Sequence[int] | None = None,
) -> tuple[Hit, ...]:
    """Scored candidates best first, then the rest in first-stage order; one a document if asked.

    The `leading` ones among the scored come before all others, those first that lead by most, each focus in its turn.
    Where all were `listed`, that is the order, and there are no scores.
    """
    best = listed
    if best is None:
        weight = settings.order_weight if settings.order_weight is not None else fitted_weight
        merit = combine([c.score for c in candidates[: len(logits)]], logits, weight)
        best = sorted(range(len(logits)), key=lambda i: -merit[i])
    in_turn = [best[place] for place in in_turns([candidates[i].passage for i in best], leading, settings.balance)]
    hits: list[Hit] = []
    seen: set[str] = set()
    rank = count(1)
    for index in [*in_turn, *range(len(best), len(candidates))]:
        candidate = candidates[index]
        if settings.one_per_document and kept_once(candidate.passage, settings) in seen:
            continue
        seen.add(kept_once(candidate.passage, settings))
        hits.append(
            Hit(
                rank=next(rank),
                passage=candidate.passage,
                first_stage_rank=index + 1,
                first_stage_score=candidate.score,
                rerank_score=logits[index] if index < len(logits) else None,
                leads=candidate.passage.id in leading,
            )
        )
    return tuple(hits)


def combine(first_stage: Sequence[float], logits: Sequence[float], weight: float) -> Sequence[float]:
    """Both scores standardised within the candidates, since their scales differ; `weight` 1 keeps the logits."""
    if weight == 1:
        return logits
    pairs = zip(standardise(first_stage), standardise(logits), strict=True)
    return [(1 - weight) * first + weight * second for first, second in pairs]


def standardise(scores: Sequence[float]) -> list[float]:
    """z-scores by the population's deviation; zeros where all are alike."""
    if not scores:
        return []
    mean, spread = fmean(scores), pstdev(scores) or 1.0
    return [(score - mean) / spread for score in scores]


def keep_apart(ordered: Sequence[Sequence[Hit]], top_n: int) -> list[tuple[Hit, ...]]:
    """The best `top_n` of each part; parts choose in turns, and a passage again only where nothing else is left."""
    if len(ordered) == 1:
        return [tuple(ordered[0][:top_n])]
    taken: set[str] = set()
    kept: list[list[Hit]] = [[] for _ in ordered]
    for _ in range(top_n):
        for hits, own in zip(ordered, kept, strict=True):
            if chosen := next((hit for hit in hits if hit.passage.id not in taken), None):
                taken.add(chosen.passage.id)
                own.append(chosen)
    for hits, own in zip(ordered, kept, strict=True):
        own += [hit for hit in hits if hit not in own][: top_n - len(own)]
    best_first = (sorted(own, key=lambda hit: hit.rank) for own in kept)
    return [tuple(hit.model_copy(update={"rank": n}) for n, hit in enumerate(own, start=1)) for own in best_first]

"""Whether what was found answers at all: a rule over the scores of a full reading, fitted on judged questions."""

import math
from pathlib import Path
from statistics import fmean
from typing import Self

from pydantic import ValidationError

from overfetch.errors import SettingsError
from overfetch.settings import RetrievalSettings, explain
from overfetch.sparse import embed_sparse_passage, embed_sparse_query
from overfetch.types import ALL_READ, Frozen, Retrieval

MADE_BY = ("embedder", "reranker", "read_tokens", "chunker", "sparse_tokenizer")  # of a retrieval's provenance
GROWTH = 1.25  # as much more or less of a corpus is still the same: among more passages, the best score is higher


class Evidence(Frozen):
    """What the hits of a full reading say of whether they answer.

    `best` is the best logit, `margin` its lead over the mean of the others; `covered` is the share of the question's
    terms in the passage that has most of them; `led` is 1 where a hit leads by what was understood, else 0.
    """

    best: float
    margin: float
    covered: float
    led: float

    @classmethod
    def of(cls, retrieval: Retrieval) -> Self | None:
        """None where not every candidate was read: other scores mean nothing here."""
        logits = sorted(hit.rerank_score for hit in retrieval.hits if hit.rerank_score is not None)
        if retrieval.rerank_status not in ALL_READ or not logits:  # none, where a language model ordered
            return None
        *others, best = logits
        asked = set(embed_sparse_query(retrieval.read or retrieval.query).indices)
        held = max(len(asked & set(embed_sparse_passage(hit.passage.reading).indices)) for hit in retrieval.hits)
        return cls(
            best=best,
            margin=best - fmean(others or [best]),
            covered=held / max(1, len(asked)),
            led=float(any(hit.leads for hit in retrieval.hits)),
        )


class FittedOn(Frozen):
    """The judged questions behind a rule, and how it did on those that it was not fitted on (cross-validation).

    `judgements` is their hash, `corpus` that of the `passages` searched; `refused` and `wrongly` are shares of the
    unanswerable and of the answerable questions, those that a first stage refuses with them.
    """

    judgements: str
    corpus: str | None
    passages: int
    answerable: int
    unanswerable: int
    refused: float
    wrongly: float
    created: str
    library_version: str

    @property
    def questions(self) -> int:
        return self.answerable + self.unanswerable


class RefusalRule(Frozen):
    """The probability of an answer, a logistic function of the evidence; below `threshold` nothing answers.

    It holds for the collection, models, chunker and settings that it was fitted with, and for about as many passages.
    """

    collection: str
    made_by: dict[str, str]
    settings: RetrievalSettings
    weights: dict[str, float]
    bias: float
    threshold: float
    fitted_on: FittedOn

    def probability(self, evidence: Evidence) -> float:
        """That something found answers."""
        logit = self.bias + sum(weight * getattr(evidence, name) for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(-500.0, min(500.0, logit))))

    def holds_under(self, settings: RetrievalSettings) -> bool:
        """Whether it was fitted under the same; neither a deadline nor who else was to order changes any score, and
        `made_by` has the budget that did."""
        scored = {"deadline_ms": None, "rerank_lm": None, "read_tokens": None}
        return settings.model_copy(update=scored) == self.settings.model_copy(update=scored)

    def fits(self, retrieval: Retrieval) -> bool:
        served_by = made_by(retrieval)
        growth = int(retrieval.provenance.get("passages", 0)) / max(1, self.fitted_on.passages)
        is_alike = 1 / GROWTH <= growth <= GROWTH
        return retrieval.collection == self.collection and served_by == self.made_by and is_alike

    def refusal(self, retrieval: Retrieval) -> str | None:
        """Why nothing found answers; None where something may, or where the rule cannot tell."""
        evidence = Evidence.of(retrieval) if self.fits(retrieval) else None
        if evidence is None or (probability := self.probability(evidence)) >= self.threshold:
            return None
        fitted = f"fitted on {self.fitted_on.questions} judged questions, {self.fitted_on.created[:10]}"
        return f"the chance that these passages answer is {probability:.0%}, below {self.threshold:.0%} ({fitted})"


def made_by(retrieval: Retrieval) -> dict[str, str]:
    """What of its provenance decides scores."""
    return {name: retrieval.provenance[name] for name in MADE_BY if name in retrieval.provenance}


class RefusalRules(Frozen):
    """Those of one collection, one for each pair of models."""

    rules: tuple[RefusalRule, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises SettingsError where the file is damaged."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            told = explain(error) if isinstance(error, ValidationError) else error
            raise SettingsError(f"the refusal rules {path} cannot be read: {told}; remove or fit them anew") from error

    def under(self, settings: RetrievalSettings) -> list[RefusalRule]:
        """Those fitted on questions that are searched so."""
        return [rule for rule in self.rules if rule.holds_under(settings)]

    def with_rule(self, rule: RefusalRule) -> "RefusalRules":
        """In place of the one of the same models."""
        return RefusalRules(rules=(*(other for other in self.rules if other.made_by != rule.made_by), rule))

    def write(self, path: Path) -> None:
        """The old rules or the new, for whoever reads them meanwhile."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.replace(path)

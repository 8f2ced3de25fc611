"""The citation guard around DSPy modules: as a metric, as a reward, and as a retry that says what was wrong.

All take predictions with `answer`, `citations` and `retrievals`, as `GroundedModule` makes them and any other module
may.
"""

from collections.abc import Mapping
from typing import Any

import dspy

from overfetch import Guarded, RefusedCitation, SettingsError, check_citations, guard
from overfetch.foreign import without_foreign

FEEDBACK = "what was wrong with your earlier reply to the same question: avoid it this time"


def guarded(prediction: dspy.Prediction) -> Guarded:
    """What of a prediction may be shown, as a site's answers are checked: only citations that hold, no pictures, no
    HTML, no links that the sources do not have. Without citations nothing supports the answer.
    """
    text, _ = without_foreign(prediction.answer, prediction.retrievals)
    return guard(text, prediction.citations, prediction.retrievals)


def citations_hold(_example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
    """A DSPy metric: the share of citations that hold; 0 without any.

    While an optimiser collects demonstrations (`trace` is given), only a perfect answer passes.
    """
    citations = prediction.citations
    if not citations:
        return 0.0
    share = 1 - len(_refused(prediction)) / len(citations)
    return share if trace is None else float(share == 1.0)


def citation_reward(_inputs: Mapping[str, Any], prediction: dspy.Prediction) -> float:
    """`citations_hold` in the form that `dspy.Refine` and `dspy.BestOfN` take."""
    return citations_hold(dspy.Example(), prediction)


def answer_quality(example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
    """A DSPy metric: share of citations that hold x coverage x share of cited documents that are judged relevant.

    Example's `relevant` are document ids; without it the last factor is 1. While an optimiser collects
    demonstrations (`trace` is given), only an answer passes whose every citation holds and is relevant.
    """
    if not prediction.citations:
        return 0.0
    guarded = guard(prediction.answer, prediction.citations, prediction.retrievals)
    cited = [c.document_id for c in guarded.citations]
    relevant = example.get("relevant")
    right = sum(c in relevant for c in cited) / max(1, len(cited)) if relevant is not None else float(bool(cited))
    hold = 1 - len(guarded.refused) / len(prediction.citations)
    return hold * guarded.coverage * right if trace is None else float(hold * right == 1 and guarded.coverage > 0)


def explain_refusals(prediction: dspy.Prediction) -> str:
    """Feedback for another try, one line a refused citation; empty where all hold or the sources hold no answer."""
    if not prediction.citations and prediction.get("found", True):
        return "nothing is cited: quote whole sentences, letter for letter"
    return "\n".join(f"{r.citation.quote!r}: {r.reason}" for r in _refused(prediction))


def quality_with_feedback(
    example: dspy.Example, prediction: dspy.Prediction, *_trace_and_predictor: object
) -> dspy.Prediction:
    """`answer_quality` and, in words, what to do better: what GEPA reflects on."""
    relevant = example.get("relevant") or ()
    lines = [f"Refused: {line}" for line in explain_refusals(prediction).splitlines()]
    if prediction.citations and guard(prediction.answer, prediction.citations, prediction.retrievals).coverage < 1:
        lines.append("Some sentences carry no marker: end each with the number of its passage, as in [2].")
    missed = {h.passage.document_id for r in prediction.retrievals for h in r.hits} & set(relevant)
    if missed and not missed & {c.document_id for c in prediction.citations}:
        lines.append("A passage that answers the question was given but is not cited: read all of them.")
    score = answer_quality(example, prediction)
    return dspy.Prediction(score=score, feedback="\n".join(lines) or "Every citation holds.")


class RetryCitations(dspy.Module):
    """Runs a module again where a citation is refused, telling the model which and why; keeps the better answer.

    `dspy.Refine` with `citation_reward` does the same by asking the model for advice; this asks nobody, since the
    guard knows. Sync and async. Raises SettingsError where there is to be no attempt.
    """

    def __init__(self, module: dspy.Module, attempts: int = 2) -> None:
        super().__init__()
        if attempts < 1:
            raise SettingsError(f"attempts is {attempts}; the first is one of them: give 1 or more")
        self.module = module
        self.attempts = attempts

    def forward(self, **inputs: Any) -> dspy.Prediction:
        best = self.module(**inputs)
        for _ in range(self.attempts - 1):
            if not (feedback := explain_refusals(best)):
                break
            with with_feedback(feedback):
                best = better(best, self.module(**inputs))
        return best

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        best = await self.module.acall(**inputs)
        for _ in range(self.attempts - 1):
            if not (feedback := explain_refusals(best)):
                break
            with with_feedback(feedback):
                best = better(best, await self.module.acall(**inputs))
        return best


def better(first: dspy.Prediction, second: dspy.Prediction) -> dspy.Prediction:
    """The one with more citations that hold; the first of equals."""
    return max((first, second), key=lambda p: citation_reward({}, p))


def with_feedback(feedback: str) -> Any:
    """A context in which every predictor is told `feedback`, in a further input field; not streamed."""
    inner = dspy.settings.adapter or dspy.ChatAdapter()
    return dspy.context(adapter=FeedbackAdapter(inner, feedback), send_stream=None)


class FeedbackAdapter(dspy.Adapter):
    """Another adapter, with one more input field."""

    def __init__(self, inner: dspy.Adapter, feedback: str) -> None:
        super().__init__()
        self.inner = inner
        self.feedback = feedback

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
        return self.inner(lm, lm_kwargs, *self._extended(signature, demos, inputs))

    async def acall(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
        return await self.inner.acall(lm, lm_kwargs, *self._extended(signature, demos, inputs))

    def _extended(self, signature: Any, demos: Any, inputs: Any) -> tuple[Any, Any, Any]:
        extended = signature.append("feedback", dspy.InputField(desc=FEEDBACK), type_=str)
        return extended, demos, {**inputs, "feedback": self.feedback}


def _refused(prediction: dspy.Prediction) -> list[RefusedCitation]:
    checked = check_citations(prediction.citations, prediction.retrievals)
    return [c for c in checked if isinstance(c, RefusedCitation)]

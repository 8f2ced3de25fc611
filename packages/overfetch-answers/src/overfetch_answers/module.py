"""The frame of a site's answer module: retrieve, ask once, turn quotes into citations."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import dspy

from overfetch import Draft, Retrieval, keep_valid
from overfetch_answers.retriever import Retriever


class GroundedModule(dspy.Module):
    """`module(question=...)` gives a Prediction: answer, citations, the retrievals and the model's typed reply.

    A site names its signature, what the model is given, and what the reply becomes.
    """

    signature: ClassVar[type[dspy.Signature]]

    def __init__(self, retrieve: Retriever) -> None:
        super().__init__()
        self.retrieve = retrieve
        self.respond = dspy.Predict(self.signature)

    @abstractmethod
    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        """The signature's input fields."""

    @abstractmethod
    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """The answer and its citations, from the signature's output fields."""

    def forward(self, question: str, **extra: Any) -> dspy.Prediction:
        """`extra` are further input fields, such as the history of a chat."""
        retrievals = self.retrieve(question)
        reply = self.respond(**{**self.inputs(question, retrievals), **extra})
        return self._prediction(reply, retrievals)

    async def aforward(self, question: str, **extra: Any) -> dspy.Prediction:
        retrievals = await self.retrieve.acall(question)
        reply = await self.respond.acall(**{**self.inputs(question, retrievals), **extra})
        return self._prediction(reply, retrievals)

    def _prediction(self, reply: dspy.Prediction, retrievals: tuple[Retrieval, ...]) -> dspy.Prediction:
        draft = self.draft(reply, retrievals)
        return dspy.Prediction(**dict(draft), retrievals=retrievals, reply=reply)


def citations_hold(_example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
    """A DSPy metric: the share of citations that are verbatim and retrieved; 0 without any.

    While an optimiser collects demonstrations (`trace` is given), only a perfect answer passes.
    """
    citations = prediction.citations
    if not citations:
        return 0.0
    share = len(list(keep_valid(citations, prediction.retrievals))) / len(citations)
    return share if trace is None else float(share == 1.0)

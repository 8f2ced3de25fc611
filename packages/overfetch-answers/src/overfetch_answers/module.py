"""The frame of a site's answer module: retrieve, ask once, turn quotes into citations."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import dspy

from overfetch import Draft, Retrieval, Turn
from overfetch_answers.language_model import count_tokens
from overfetch_answers.passages import PASSAGES, NumberedPassage, number_passages, show
from overfetch_answers.retriever import Retriever


class Grounded(dspy.Signature):
    """Answer the question by the passages alone."""

    question: str = dspy.InputField()
    passages: list[NumberedPassage] = dspy.InputField(desc=PASSAGES)


class GroundedModule(dspy.Module):
    """`module(question=...)` gives a Prediction: answer, citations, the retrievals and the model's typed reply.

    That is a draft: nothing in it is checked. `guarded` says what may be shown.

    A site names its signature, which metadata of a passage are `facts` to the model, and what the reply becomes.
    `streamed` names the output field whose text may be shown while it is written.
    """

    signature: ClassVar[type[dspy.Signature]]
    facts: ClassVar[tuple[str, ...]] = ()
    streamed: ClassVar[str | None] = None

    def __init__(self, retrieve: Retriever) -> None:
        super().__init__()
        self.retrieve = retrieve
        self.respond = dspy.Predict(self.signature)

    def inputs(self, question: str, retrievals: Sequence[Retrieval]) -> dict[str, Any]:
        """The signature's input fields: by default the question and the numbered passages."""
        return {"question": question, "passages": show(number_passages(retrievals), self.facts)}

    @abstractmethod
    def draft(self, reply: dspy.Prediction, retrievals: Sequence[Retrieval]) -> Draft:
        """The answer and its citations, from the signature's output fields."""

    @property
    def reads_history(self) -> bool:
        """Whether the signature takes the earlier turns of a chat."""
        return "history" in self.respond.signature.input_fields

    def forward(self, question: str, **extra: Any) -> dspy.Prediction:
        """`extra` are further input fields, such as the history of a chat."""
        retrievals = self.retrieve(question)
        reply = self.respond(**{**self.inputs(question, retrievals), **extra})
        return self._prediction(reply, retrievals)

    async def aforward(self, question: str, **extra: Any) -> dspy.Prediction:
        retrievals = await self.retrieve.acall(question)
        reply = await self.respond.acall(**{**self.inputs(question, retrievals), **extra})
        return self._prediction(reply, retrievals)

    def prompt_tokens(self, question: str, retrievals: Sequence[Retrieval], history: Sequence[Turn] = ()) -> int:
        """About how many tokens the prompt takes, demonstrations and all."""
        extra = {"history": [*history]} if self.reads_history else {}
        inputs = {**self.inputs(question, retrievals), **extra}
        messages = dspy.ChatAdapter().format(self.respond.signature, self.respond.demos, inputs)
        return count_tokens("".join(str(message["content"]) for message in messages))

    def _prediction(self, reply: dspy.Prediction, retrievals: tuple[Retrieval, ...]) -> dspy.Prediction:
        draft = self.draft(reply, retrievals)
        return dspy.Prediction(**dict(draft), retrievals=retrievals, reply=reply)

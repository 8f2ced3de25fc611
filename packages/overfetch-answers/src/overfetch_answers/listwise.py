"""Passages ordered by a language model: as one list, or in windows that slide from its end (RankGPT).

Sun et al. 2023, arXiv 2304.09542. What does not fit the token budget at once is read in windows; there a passage has
a share of it.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import dspy
from pydantic import BaseModel

from overfetch import AnswerError, LanguageModel
from overfetch.leaving import whether_left
from overfetch.protocols import ListOrder
from overfetch_answers.explaining import answer_errors
from overfetch_answers.language_model import count_tokens, reply_tokens, shared_language_model
from overfetch_answers.looping import turn, wait_for
from overfetch_answers.passages import PASSAGES
from overfetch_answers.permuting import permutation
from overfetch_answers.replies import HEADER, JSON, ReplyAdapter, without_thoughts

WINDOW, STEP = 10, 5
LEAST_TOKENS = 32  # of a passage: of less nothing can be told
FORM_TOKENS = 10  # of a passage, around its text


class ListedPassage(BaseModel):
    """A passage as the model reads it. In the prompt it is JSON, so no text can break out of its field."""

    number: int
    text: str


class OrderPassages(dspy.Signature):
    """Order the candidates by how well each answers the question, the best first.

    What answers goes before what is only about the same things. Name every number, and each once.
    """

    question: str = dspy.InputField()
    candidates: list[ListedPassage] = dspy.InputField(desc=PASSAGES)
    order: str = dspy.OutputField(desc="the numbers of all candidates, best first, as in [2] > [3] > [1]; nothing else")


class ListAdapter(ReplyAdapter):
    """A reply without any form is the list itself, as RankGPT has it."""

    def parse(self, signature: Any, completion: str) -> Any:
        reply = without_thoughts(completion, "[[ ## order ## ]]")
        if HEADER.search(reply) or JSON.match(reply):
            return super().parse(signature, completion)
        return {"order": reply}


class Plan(NamedTuple):
    """What each prompt shows of the list, in turn, how much of each passage (None: all), and what one may cost."""

    windows: Sequence[slice]
    passage_tokens: int | None
    call_tokens: int | None


class Listwise:
    """Orders passages by the language model; `lm.token_budget` bounds all prompts and replies of a request."""

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        self._order = dspy.Predict(OrderPassages)

    @property
    def identity(self) -> str:
        """The model, and the form in which it is asked."""
        return f"{self.lm.name}#listwise-{_form()}"

    def warm_up(self) -> None:
        """Importing this took the time; asking costs money."""

    def order(self, query: str, passages: Sequence[str], deadline: float | None = None, parts: int = 1) -> ListOrder:
        """See `overfetch.protocols.ListReranker`. Raises AnswerError."""
        chosen = plan(query, passages, self.lm, parts)
        tokens = chosen.passage_tokens
        read = [*passages] if tokens is None else [cut(text, tokens) for text in passages]
        with dspy.context(trace=None, send_stream=None):  # of whoever searches within a program: not theirs to see
            places, repaired = wait_for(self._ordered(query, read, chosen, deadline))
        lost = sum(count_tokens(text) - count_tokens(kept) for text, kept in zip(passages, read, strict=True))
        return ListOrder(tuple(places), repaired, lost)

    async def _ordered(
        self, query: str, texts: Sequence[str], chosen: Plan, deadline: float | None
    ) -> tuple[list[int], int]:
        lm = shared_language_model(self.lm.model_copy(update={"token_budget": chosen.call_tokens}))
        adapter, left = ListAdapter(use_json_adapter_fallback=False), whether_left()
        places, repaired = [*range(len(texts))], 0
        with answer_errors(self.lm), self._in_time(deadline) as seconds:
            async with asyncio.timeout(seconds), turn():
                with dspy.context(lm=lm, adapter=adapter, disable_history=True):
                    for window in chosen.windows:
                        if left.is_set():
                            raise AnswerError("nobody waits for it any more")
                        places[window], faults = await self._reordered(query, texts, places[window])
                        repaired += faults
        return places, repaired

    async def _reordered(self, query: str, texts: Sequence[str], shown: Sequence[int]) -> tuple[list[int], int]:
        """The places shown, best first, and how many numbers of the reply were wrong."""
        reply = await self._order.acall(question=query, candidates=number(texts[place] for place in shown))
        found, faults = permutation(str(reply.order), len(shown))
        return [shown[i] for i in found], faults

    @contextmanager
    def _in_time(self, deadline: float | None) -> Iterator[float]:
        """The seconds that there are; raises AnswerError where there are none, or they were too few."""
        left = self.lm.timeout_s if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise AnswerError("the deadline left no time to ask")
        try:
            yield min(left, self.lm.timeout_s)
        except TimeoutError as error:
            within = f"in {self.lm.timeout_s:g} s; allow more (OVERFETCH_LM_TIMEOUT_S)"
            told = within if left >= self.lm.timeout_s else f"within the deadline, {left:.1f} s"
            raise AnswerError(f"language model {self.lm.name!r} gave no order {told}") from error


def plan(query: str, passages: Sequence[str], lm: LanguageModel, parts: int = 1) -> Plan:
    """All at once where that fits the budget, else in windows, each passage cut to its share. Raises AnswerError."""
    whole = slice(0, len(passages))
    if lm.token_budget is None:
        return Plan([whole], None, None)
    at_once = lm.token_budget // parts
    if prompt_tokens(query, passages) + _reply(lm, at_once) <= at_once:
        return Plan([whole], None, at_once)
    slides = windows(len(passages))
    each = at_once // len(slides)
    room = each - _reply(lm, each) - prompt_tokens(query, [])
    tokens = room // min(WINDOW, len(passages)) - FORM_TOKENS
    if tokens < LEAST_TOKENS:
        raise AnswerError(
            f"a token budget of {lm.token_budget} is too small for {len(passages)} passages in {len(slides)} prompts"
            f"{f' of each of {parts} parts' if parts > 1 else ''} (OVERFETCH_RERANK_LM_TOKEN_BUDGET)"
        )
    return Plan(slides, tokens, each)


def windows(passages: int) -> list[slice]:
    """From the end of the list to its beginning, each half over the one before."""
    starts = [*range(passages - WINDOW, 0, -STEP), 0]
    return [slice(start, start + WINDOW) for start in starts]


def number(texts: Iterable[str]) -> list[ListedPassage]:
    """From 1, as a model is to name them."""
    return [ListedPassage(number=place, text=text) for place, text in enumerate(texts, start=1)]


def cut(text: str, tokens: int) -> str:
    """Its beginning, of no more tokens than that as a prompt shows it."""
    while (needed := count_tokens(json.dumps(text, ensure_ascii=False))) > tokens:
        text = text[: len(text) * tokens // needed]
    return text


def prompt_tokens(query: str, passages: Sequence[str]) -> int:
    """About how many tokens a prompt takes."""
    return count_tokens(_prompt(query, passages))


def _reply(lm: LanguageModel, call_tokens: int) -> int:
    return reply_tokens(lm.model_copy(update={"token_budget": call_tokens})) or 0


def _prompt(query: str, passages: Sequence[str]) -> str:
    inputs = {"question": query, "candidates": number(passages)}
    messages = ListAdapter().format(OrderPassages, [], inputs)
    return "".join(str(message["content"]) for message in messages)


@cache
def _form() -> str:
    """Of all that a prompt says but the question and the passages, and of how long lists are read."""
    said = f"{_prompt('', ['', ''])} {WINDOW} {STEP}"
    return hashlib.sha256(said.encode()).hexdigest()[:8]

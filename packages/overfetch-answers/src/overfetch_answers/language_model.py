"""The DSPy client of a configured language model, and what a request may cost."""

import asyncio
import math
import os
import time
from functools import lru_cache
from typing import Any, NamedTuple, Self, TypeVar

import dspy
from dspy.clients.call_context import adapter_fallback_scope
from dspy.lm15 import RefusalPart
from dspy.utils.exceptions import is_retryable_lm_error

from overfetch import AnswerError, LanguageModel

Client = TypeVar("Client", bound=dspy.LM)

# Sent to servers that ask for no key: a key from the environment must not reach an address it was not meant for.
NO_KEY = "not-needed"
# On the safe side for English prose and JSON: tokenizers of current models take 3.5 to 4.5 characters a token.
CHARACTERS_PER_TOKEN = 3
# A reply's share of a token budget where `max_tokens` does not say it: a quarter as far as a reply needs that much, an
# eighth of more, which leaves as much for the prompt where it is asked four times.
REPLY_SHARE, SHARE_OF_MORE, USUAL_REPLY = 4, 8, 4_000
# A client that requests share is not closed for one's time: who asks it stops waiting.
LONGEST_S = 86_400.0
COMPLETED = "[[ ## completed ##"  # DSPy's last header: what comes after it is no part of the reply


class UnfinishedReply(Exception):
    """A reply that cannot be read since it was cut or is a refusal: asking again gets the same."""


class RequestClient(dspy.LM):
    """A client as one request has it (`until`): its retries end in time, and it knows how its last reply ended.

    Each `dspy.LM` retries, but waits as long as a server bids it to.
    """

    retries = 0
    deadline = math.inf
    unfinished: str | None = None

    def until(self, deadline: float) -> Self:
        """A copy, with connections in common, that tries nothing again after `deadline` (`time.monotonic()`)."""
        copied: Self = self.copy(deadline=deadline, retries=self.num_retries, num_retries=0)
        return copied

    async def acall(self, *args: Any, **kwargs: Any) -> Any:
        for attempt in range(self.retries):
            with adapter_fallback_scope() as progress:
                try:
                    return await super().acall(*args, **kwargs)
                except dspy.LMError as error:
                    delay = 2**attempt if error.retry_after is None else error.retry_after
                    in_time = time.monotonic() + delay < self.deadline
                    if progress.emitted or not in_time or not is_retryable_lm_error(error):
                        raise
            await asyncio.sleep(delay)
        return await super().acall(*args, **kwargs)

    def update_history(self, entry: dict[str, Any]) -> None:
        """Keeps of a reply only why it is not whole."""
        self.unfinished = why_unfinished(entry["response"])


def why_unfinished(response: Any) -> str | None:
    """What a reply lacks, and what to do about it; None where it is whole. `response` is DSPy's or LiteLLM's."""
    choice = next(iter(getattr(response, "choices", None) or ()), response)
    message = choice.message
    refusals = [part.text for part in getattr(message, "parts", ()) if isinstance(part, RefusalPart)]
    text = getattr(message, "text", None) or getattr(message, "content", None)
    refusal = " ".join(refusals) or getattr(message, "refusal", None)
    if refusal and not text:
        return f"refused: {refusal!r}"
    if choice.finish_reason == "length" and COMPLETED not in (text or ""):
        return "was cut off in its reply; allow longer ones (OVERFETCH_LM_MAX_TOKENS, or OVERFETCH_LM_TOKEN_BUDGET)"
    return None


@lru_cache(maxsize=16)
def _shared(lm: LanguageModel) -> RequestClient:
    return _build(lm, RequestClient)


def shared_language_model(lm: LanguageModel, deadline: float = math.inf) -> RequestClient:
    """For one request, until `deadline` (`time.monotonic()`); all share connections. Raises AnswerError."""
    return _shared(lm.model_copy(update={"timeout_s": LONGEST_S})).until(deadline)


def build_language_model(lm: LanguageModel) -> dspy.LM:
    """A client without response cache, at temperature 0. Raises AnswerError."""
    return _build(lm, dspy.LM)


def _build(lm: LanguageModel, kind: type[Client]) -> Client:
    # Providers that DSPy reaches through LiteLLM would fetch a price list from the net when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    key = lm.api_key if lm.api_key is not None or lm.api_base is None else NO_KEY
    options = {"api_base": lm.api_base, "api_key": key}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        client = kind(lm.name, temperature=0.0, cache=False, num_retries=lm.retries, timeout=lm.timeout_s, **given)
    except (ValueError, dspy.DSPyError) as error:
        raise AnswerError(f"{lm.name!r} names no language model ({error}); set OVERFETCH_LM=PROVIDER/MODEL") from error
    # DSPy counts OpenAI's reasoning models in completion tokens, and makes none that may write but a few; these models
    # refuse any temperature but their own.
    bound = {"max_tokens": reply_tokens(lm)}
    if "max_completion_tokens" in client.kwargs:
        bound = {"temperature": None, "max_completion_tokens": reply_tokens(lm)}
    bounded: Client = client.copy(**bound)
    return bounded


def reply_tokens(lm: LanguageModel) -> int | None:
    """The most that one reply may have; None where nothing bounds it."""
    if lm.max_tokens is not None or lm.token_budget is None:
        return lm.max_tokens
    return max(1, min(lm.token_budget // REPLY_SHARE, USUAL_REPLY), lm.token_budget // SHARE_OF_MORE)


class Allowance(NamedTuple):
    """How a request may spend its tries: `attempts` in all, and whether an unreadable reply may be asked for anew."""

    attempts: int
    json_fallback: bool


def allowance(lm: LanguageModel, prompt_tokens: int, attempts: int, spent: int = 0) -> Allowance | None:
    """What the token budget allows for a prompt of that size; None where not even one try. `spent`: of the budget."""
    if lm.token_budget is None:
        return Allowance(attempts, json_fallback=True)
    calls = (lm.token_budget - spent) // (prompt_tokens + (reply_tokens(lm) or 0))
    if calls <= 0:
        return None
    return Allowance(attempts if calls >= 2 * attempts else 1, json_fallback=calls >= 2)


def count_tokens(text: str) -> int:
    """An upper estimate, without the model's tokenizer; beyond ASCII a letter may be a token."""
    return len(text.encode("utf-8", "replace")) // CHARACTERS_PER_TOKEN + 1

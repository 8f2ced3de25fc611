"""The DSPy client of a configured language model, and what a request may cost."""

import os
from functools import lru_cache
from typing import NamedTuple

import dspy

from overfetch import AnswerError, LanguageModel

# Sent to servers that ask for no key: a key from the environment must not reach an address it was not meant for.
NO_KEY = "not-needed"
# On the safe side for English prose and JSON: tokenizers of current models take 3.5 to 4.5 characters a token.
CHARACTERS_PER_TOKEN = 3
# A reply's share of a token budget where `max_tokens` does not say it.
REPLY_SHARE = 4


@lru_cache(maxsize=16)
def shared_language_model(lm: LanguageModel) -> dspy.LM:
    """One client for all requests: its connections are kept open."""
    return build_language_model(lm)


def build_language_model(lm: LanguageModel) -> dspy.LM:
    """A client without response cache, at temperature 0. Raises AnswerError."""
    # Providers that DSPy reaches through LiteLLM would fetch a price list from the net when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    key = lm.api_key if lm.api_key is not None or lm.api_base is None else NO_KEY
    options = {"api_base": lm.api_base, "api_key": key}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        client = dspy.LM(lm.name, temperature=0.0, cache=False, num_retries=lm.retries, timeout=lm.timeout_s, **given)
    except (ValueError, dspy.DSPyError) as error:
        raise AnswerError(f"{lm.name!r} names no language model ({error}); set OVERFETCH_LM=PROVIDER/MODEL") from error
    # DSPy counts OpenAI's reasoning models in completion tokens, and makes none that may write but a few; these models
    # refuse any temperature but their own.
    if "max_completion_tokens" in client.kwargs:
        return client.copy(temperature=None, max_completion_tokens=reply_tokens(lm))
    return client.copy(max_tokens=reply_tokens(lm))


def reply_tokens(lm: LanguageModel) -> int | None:
    """The most that one reply may have; None where nothing bounds it."""
    if lm.max_tokens is not None or lm.token_budget is None:
        return lm.max_tokens
    return max(1, lm.token_budget // REPLY_SHARE)


class Allowance(NamedTuple):
    """How a request may spend its tries: `attempts` in all, and whether an unreadable reply may be asked for anew."""

    attempts: int
    json_fallback: bool


def allowance(lm: LanguageModel, prompt_tokens: int, attempts: int) -> Allowance | None:
    """What the token budget allows for a prompt of that size; None where not even one try."""
    calls = (lm.token_budget or 0) // (prompt_tokens + (reply_tokens(lm) or 0))
    if calls == 0:
        return None
    return Allowance(attempts if calls >= 2 * attempts else 1, json_fallback=calls >= 2)


def count_tokens(text: str) -> int:
    """An upper estimate, without the model's tokenizer; beyond ASCII a letter may be a token."""
    return len(text.encode("utf-8", "replace")) // CHARACTERS_PER_TOKEN + 1

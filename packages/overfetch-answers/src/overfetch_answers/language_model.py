"""The DSPy client of a configured language model."""

import os

import dspy

from overfetch import AnswerError, LanguageModel

RETRIES = 1
# Sent to servers that ask for no key: a key from the environment must not reach an address it was not meant for.
NO_KEY = "not-needed"


def build_language_model(lm: LanguageModel) -> dspy.LM:
    """A client without response cache, at temperature 0. Raises AnswerError."""
    # Providers that DSPy reaches through LiteLLM would fetch a price list from the net when it is imported.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    key = lm.api_key if lm.api_key is not None or lm.api_base is None else NO_KEY
    address = {name: value for name, value in {"api_base": lm.api_base, "api_key": key}.items() if value is not None}
    try:
        client = dspy.LM(lm.name, temperature=0.0, cache=False, num_retries=RETRIES, timeout=lm.timeout_s, **address)
    except ValueError as error:
        raise AnswerError(f"{lm.name!r} names no language model ({error}); set OVERFETCH_LM=PROVIDER/MODEL") from error
    # DSPy counts OpenAI's reasoning models in completion tokens; these models refuse any temperature but their own.
    return client.copy(temperature=None) if "max_completion_tokens" in client.kwargs else client

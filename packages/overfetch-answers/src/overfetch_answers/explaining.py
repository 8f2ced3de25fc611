"""Whatever fails between a request and its answer, as an AnswerError that says what happened and what to do."""

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import dspy

from overfetch import AnswerError, LanguageModel, redacted
from overfetch_answers.language_model import UnfinishedReply

log = logging.getLogger(__name__)

SHOWN_CHARACTERS = 200
ADVICE = (
    (dspy.LMRateLimitError, "it takes no more requests for now: ask later, or less often"),
    (dspy.LMBillingError, "see to its provider's account"),
    ((dspy.LMAuthError, dspy.LMNotConfiguredError), "check its key (OVERFETCH_LM_API_KEY)"),
    (dspy.LMTransportError, "check that it is served there (OVERFETCH_LM_API_BASE)"),
    ((dspy.LMServerError, dspy.LMTimeoutError), "the fault is its server's: ask later"),
)
# Servers say so in a status 400, each in its own words and few with a code.
CONTEXT = re.compile(r"context (?:length|size|window)|prompt is too long", re.IGNORECASE)
SHORTER = "the prompt is too long for it: set OVERFETCH_LM_TOKEN_BUDGET to what it reads, or ask for fewer passages"
CHECK = "check OVERFETCH_LM and its address and key"


@contextmanager
def answer_errors(lm: LanguageModel, late: str | None = None) -> Iterator[None]:
    """Whatever fails here becomes an AnswerError: a failing model or module costs the text, never the request.

    `late` says how long was waited, and how to allow more.
    """
    model = f"language model {lm.name!r}" + (f" at {lm.api_base!r}" if lm.api_base else "")
    try:
        yield
    except AnswerError:
        raise
    except TimeoutError as error:
        waited = late or f"in {lm.timeout_s:g} s; allow more (OVERFETCH_LM_TIMEOUT_S)"
        raise AnswerError(f"{model} gave no answer {waited}") from error
    except UnfinishedReply as error:
        raise AnswerError(f"{model} {_shorten(str(error))}") from error
    except dspy.AdapterParseError as error:
        reply = _shorten(error.lm_response)
        raise AnswerError(f"{model} replied in no readable form: {reply!r}; try a more capable model") from error
    except (dspy.DSPyError, ImportError) as error:
        # The first line says what happened; what follows is advice for users of DSPy.
        reason = _shorten(str(error).partition("\n")[0])
        raise AnswerError(f"{model} failed ({type(error).__name__}: {reason}); {_advice(error)}") from error
    except Exception as error:
        log.error("the answer module failed\n%s", redacted(traceback.format_exc()))
        raise AnswerError(
            f"the answer module failed on a reply of {model} ({type(error).__name__}: {_shorten(str(error))})"
        ) from error


def _advice(error: Exception) -> str:
    if isinstance(error, dspy.LMInvalidRequestError) and CONTEXT.search(str(error)):
        return SHORTER
    advice = next((told for kinds, told in ADVICE if isinstance(error, kinds)), CHECK)
    wait = getattr(error, "retry_after", None)
    return advice if wait is None else f"{advice} (it asks to wait {wait:g} s)"


def _shorten(text: str) -> str:
    """Keys are taken out before one could be cut in two."""
    return " ".join(redacted(text).split())[:SHOWN_CHARACTERS]

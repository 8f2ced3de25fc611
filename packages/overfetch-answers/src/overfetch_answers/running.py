"""Runs an answer module with the language model of a request, within one deadline."""

import asyncio
import contextvars
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import dspy

from overfetch import AnswerError, AnswerRequest, Draft, LanguageModel
from overfetch_answers.language_model import build_language_model

SHOWN_CHARACTERS = 200


def answer_with(module: dspy.Module, request: AnswerRequest) -> Draft:
    """The module's draft. Raises AnswerError.

    In a thread with an event loop of its own, since only a task can be stopped at the deadline (a server that sends
    a byte now and then, or asks to be tried again in an hour, passes every other timeout), and since the caller may
    be inside a loop, as notebooks are.
    """
    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="overfetch-answer") as thread:
        return thread.submit(context.run, asyncio.run, answer_with_async(module, request)).result()


async def answer_with_async(module: dspy.Module, request: AnswerRequest) -> Draft:
    """The module's draft. Raises AnswerError."""
    lm = build_language_model(request.lm)
    try:
        with _translated(request.lm), dspy.context(lm=lm, disable_history=True):
            async with asyncio.timeout(request.lm.timeout_s):
                prediction = await module.acall(question=request.question)
    finally:
        await lm.aclose()
    if not prediction.answer.strip():
        raise AnswerError(f"language model {request.lm.name!r} gave an empty answer; try a more capable model")
    return Draft(answer=prediction.answer, citations=prediction.citations, found=prediction.found)


@contextmanager
def _translated(lm: LanguageModel) -> Iterator[None]:
    """Errors of DSPy as AnswerError."""
    model = f"language model {lm.name!r}" + (f" at {lm.api_base!r}" if lm.api_base else "")
    try:
        yield
    except TimeoutError as error:
        raise AnswerError(
            f"{model} gave no answer in {lm.timeout_s:g} s; allow more (OVERFETCH_LM_TIMEOUT_S)"
        ) from error
    except dspy.AdapterParseError as error:
        reply = _shorten(error.lm_response)
        raise AnswerError(f"{model} replied in no readable form: {reply!r}; try a more capable model") from error
    except (dspy.DSPyError, ImportError) as error:
        # The first line says what happened; what follows is advice for users of DSPy.
        reason = _shorten(str(error).partition("\n")[0])
        raise AnswerError(
            f"{model} failed ({type(error).__name__}: {reason}); check OVERFETCH_LM and its address and key"
        ) from error


def _shorten(text: str) -> str:
    return " ".join(text.split())[:SHOWN_CHARACTERS]

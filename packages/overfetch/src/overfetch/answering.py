"""From retrievals to a cited answer: by a site's language-model module, or by quoting the best sentences."""

import importlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, field_validator

from overfetch.citations import guard
from overfetch.errors import AnswerError, OverfetchError
from overfetch.extracting import extractive_answer
from overfetch.extras import command
from overfetch.foreign import without_foreign
from overfetch.leaving import in_thread
from overfetch.protocols import Reranker
from overfetch.refusing import RefusalRule
from overfetch.types import Answer, AnswerSoFar, Citation, Frozen, LanguageModel, OnRefused, Retrieval, Turn, Written

log = logging.getLogger(__name__)

WRITERS = ("overfetch_answers", "dspy")  # what a site's extra `answers` installs
NO_MODEL = "no language model is configured (OVERFETCH_LM)"


def encodable(text: str) -> str:
    """Without halves of surrogate pairs, which a model's JSON may hold and no response can."""
    return text.encode("utf-8", "replace").decode()


Encodable = Annotated[str, AfterValidator(encodable)]


class Draft(Frozen):
    """What an answer module returns, before its citations are checked; in the answer `[n]` names the nth of them.

    `found` is False where the module says that the sources hold no answer; only then may citations lack. `note`
    tells what the reader should know of how it came about, `written` what that took. `partial`: more sentences of it
    are still being written.
    """

    answer: Encodable
    citations: tuple[Citation, ...]
    found: bool = True
    note: Encodable | None = None
    partial: bool = False
    written: Written | None = None

    @field_validator("citations")
    @classmethod
    def _encodable(cls, given: tuple[Citation, ...]) -> tuple[Citation, ...]:
        return tuple(one.model_copy(update={"quote": encodable(one.quote)}) for one in given)


class AnswerRequest(Frozen):
    """What an answer module is given. `history` holds the earlier turns of a chat, oldest first; `deadline`
    (`time.monotonic()`) is until when it may write, where whoever asks gave a time.
    """

    question: str
    retrievals: tuple[Retrieval, ...]
    lm: LanguageModel
    history: tuple[Turn, ...] = ()
    deadline: float | None = None


AnswerFunction = Callable[[AnswerRequest], Draft]


class Answering(NamedTuple):
    """How a collection answers: `module` names the function `package.module:function`; `rules` say when quotes don't,
    `deadline` (`time.monotonic()`) until when sentences are read for them, a language model's time not counted, unless
    `answer_by` says until when that may write.

    The function may have `acall`, the same as a coroutine, and `stream`, which yields texts, partial drafts and at the
    end the draft.
    """

    module: str
    reranker: Reranker
    lm: LanguageModel | None = None
    on_refused: OnRefused = "flag"
    quoted_hits: int = 3
    rules: Sequence[RefusalRule] = ()
    deadline: float | None = None
    answer_by: float | None = None

    def answer(self, question: str, retrievals: Sequence[Retrieval], history: Sequence[Turn] = ()) -> Answer:
        """The module answers where a language model is given; without one, or if it fails, quotes do."""
        request, began = self._request(question, retrievals, history), time.monotonic()
        try:
            if isinstance(request, AnswerRequest):
                function = load_answer_function(self.module)
                with errors_of(self.module):
                    draft = function(request)
                return self._checked(draft, request)
            reason = request
        except AnswerError as error:
            reason = _failed(error)
        return self._quoted(question, retrievals, reason, time.monotonic() - began)

    async def stream(
        self, question: str, retrievals: Sequence[Retrieval], history: Sequence[Turn] = (), *, whole: bool = False
    ) -> AsyncIterator[str | AnswerSoFar | Answer]:
        """As `answer`: pieces of the text as they are written, and what is checked of it (none if `whole`); at the end
        the checked answer.

        Importing and checking happen in worker threads: the event loop stays free.
        """
        request, began = self._request(question, retrievals, history), time.monotonic()
        try:
            if isinstance(request, AnswerRequest):
                function = await in_thread(load_answer_function, self.module)
                async for piece in _drafts(self.module, function, request, whole):
                    if isinstance(piece, str):
                        yield encodable(piece)
                    elif not piece.partial:
                        yield await in_thread(self._checked, piece, request)
                    elif so_far := await in_thread(self._so_far, piece, request):
                        yield so_far
                return
            reason = request
        except AnswerError as error:
            reason = _failed(error)
        yield await in_thread(self._quoted, question, retrievals, reason, time.monotonic() - began)

    def _request(self, question: str, retrievals: Sequence[Retrieval], history: Sequence[Turn]) -> AnswerRequest | str:
        """What to ask the language model, or why it isn't asked."""
        if not any(r.hits for r in retrievals):
            return "nothing was found"
        if self.lm is None:
            return NO_MODEL
        if self.answer_by is not None and self.answer_by <= time.monotonic():
            return f"the request's deadline left language model {self.lm.name!r} no time; allow more (deadline_ms)"
        return AnswerRequest(
            question=question,
            retrievals=tuple(retrievals),
            lm=self.lm,
            history=tuple(history),
            deadline=self.answer_by,
        )

    def _quoted(self, question: str, retrievals: Sequence[Retrieval], reason: str, waited: float) -> Answer:
        deadline = self.deadline if self.deadline is None or self.answer_by else self.deadline + waited
        return extractive_answer(question, retrievals, self.reranker, reason, self.quoted_hits, self.rules, deadline)

    def _so_far(self, draft: Draft, request: AnswerRequest) -> AnswerSoFar | None:
        """What is shown of a partial draft; None where `_checked` would refuse it."""
        text, _ = without_foreign(draft.answer, request.retrievals)
        guarded = guard(text, draft.citations, request.retrievals, self.on_refused)
        shown = (guarded.citations and guarded.answer) or not draft.found
        return AnswerSoFar(answer=guarded.answer, citations=guarded.citations) if shown else None

    def _checked(self, draft: Draft, request: AnswerRequest) -> Answer:
        """The draft with the citations that hold. Raises AnswerError where it claims an answer and none does."""
        text, removed = without_foreign(draft.answer, request.retrievals)
        guarded = guard(text, draft.citations, request.retrievals, self.on_refused)
        if draft.found and not (guarded.citations and guarded.answer):
            given = len(draft.citations)
            raise AnswerError(f"{request.lm.name!r} answered, but of its {given} citations none is in the sources")
        return Answer(
            question=request.question,
            answer=guarded.answer,
            mode="lm",
            reason="; ".join(filter(None, (draft.note, removed))) or None,
            found=draft.found,
            citations=guarded.citations,
            refused=guarded.refused,
            coverage=guarded.coverage if draft.found else None,
            written=draft.written,
            retrievals=request.retrievals,
        )


async def _drafts(
    module: str, function: AnswerFunction, request: AnswerRequest, whole: bool
) -> AsyncIterator[str | Draft]:
    with errors_of(module):
        if not whole and hasattr(function, "stream"):
            async for piece in function.stream(request):
                yield piece
        elif hasattr(function, "acall"):
            yield await function.acall(request)
        else:
            yield await in_thread(function, request)


@contextmanager
def errors_of(module: str) -> Iterator[None]:
    """Whatever a site's own function raises costs the writing, not the answer."""
    try:
        yield
    except OverfetchError:
        raise
    except Exception as error:
        log.exception("the answer module %s failed", module)
        raise AnswerError(f"the answer module {module!r} failed: {type(error).__name__}") from error


def _failed(error: AnswerError) -> str:
    log.warning("answering extractively: %s", error)
    return str(error)


def load_answer_function(path: str) -> AnswerFunction:
    """The function named `module:function`. Raises AnswerError."""
    module, _, name = path.partition(":")
    try:
        function: AnswerFunction = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever its code raises; a collection without a module has an empty name
        lacking = isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in WRITERS
        repair = f": {command('answers', module.partition('.')[0])}" if lacking else ""
        raise AnswerError(f"cannot load the answer module {path!r}: {error}{repair}") from error
    return function

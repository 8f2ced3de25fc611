"""Answers requests with a site's module: compiled where a program fits, within the deadline and the token budget."""

import asyncio
import copy
import inspect
import logging
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import dspy

from overfetch import AnswerError, AnswerRequest, Draft, LanguageModel, Turn
from overfetch_answers.explaining import answer_errors
from overfetch_answers.fitting import fit, time_to_write
from overfetch_answers.guarding import RetryCitations
from overfetch_answers.language_model import shared_language_model
from overfetch_answers.looping import result_of, submit, turn, wait_for
from overfetch_answers.module import GroundedModule
from overfetch_answers.programs import SavedProgram, provenance_of, read_program, require_known, restore_program
from overfetch_answers.replies import ReplyAdapter
from overfetch_answers.retriever import Retriever
from overfetch_answers.rewriting import NOT_REWRITTEN, Rewrite, rewriting_allowance, share_of
from overfetch_answers.spending import Spending
from overfetch_answers.streaming import Emit, stream_prediction

log = logging.getLogger(__name__)


class Answers:
    """Answers requests with modules of one class: `answer_chat = Answers(ChatAnswer)`.

    Called, it waits; `acall` is a coroutine; `stream` yields what comes before the Draft too. All raise AnswerError.
    """

    def __init__(self, module: type[GroundedModule]) -> None:
        self.module = module
        self._programs: dict[Path, tuple[object, SavedProgram, GroundedModule]] = {}

    def __call__(self, request: AnswerRequest) -> Draft:
        return wait_for(self._draft(request))

    async def acall(self, request: AnswerRequest) -> Draft:
        return await result_of(self._draft(request))

    async def stream(self, request: AnswerRequest) -> AsyncIterator[str | Draft]:
        """Pieces of the module's streamed field as they come, a partial Draft with each further sentence, at the end
        the Draft.
        """
        here, pieces = asyncio.get_running_loop(), asyncio.Queue[str | Draft | None]()
        work = submit(self._draft(request, lambda piece: _tell(here, pieces, piece)))
        work.add_done_callback(lambda _: _tell(here, pieces, None))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
            draft: Draft = await asyncio.wrap_future(work)
            yield draft
        finally:
            work.cancel()

    def rewrite(self, question: str, history: Sequence[Turn], lm: LanguageModel) -> str:
        """The question as it would be asked alone. Raises AnswerError."""
        return wait_for(_rewritten(question, history, lm))

    async def arewrite(self, question: str, history: Sequence[Turn], lm: LanguageModel) -> str:
        return await result_of(_rewritten(question, history, lm))

    def program_path(self, collection: str) -> Path:
        """Where the compiled program of `SITE/COLLECTION` stands: in `programs/` beside the module's file."""
        return Path(inspect.getfile(self.module)).parent / "programs" / f"{collection.rpartition('/')[2]}.json"

    async def _draft(self, request: AnswerRequest, emit: Emit | None = None) -> Draft:
        seconds, late = time_to_write(request)
        with answer_errors(request.lm, late):
            async with asyncio.timeout(seconds), turn():
                return await self._answer(request, emit, time.monotonic() + seconds)

    async def _answer(self, request: AnswerRequest, emit: Emit | None, deadline: float) -> Draft:
        lm, spent = shared_language_model(request.lm, deadline), Spending()
        module, compiled, notes = self._loaded(request)
        fitted, allowed, told = fit(module, request)
        notes += told
        module.retrieve = Retriever.fixed(fitted.retrievals)
        program = RetryCitations(module, allowed.attempts)
        adapter = ReplyAdapter(use_json_adapter_fallback=allowed.json_fallback)
        history = {"history": [*fitted.history]} if fitted.history else {}
        with dspy.context(lm=lm, adapter=adapter, disable_history=False, usage_tracker=spent):  # `lm` keeps none
            inputs = {"question": request.question, **history}
            if emit is None or module.streamed is None:
                prediction = await program.acall(**inputs)
            else:
                prediction = await stream_prediction(program, module, fitted.retrievals, emit, **inputs)
        if not prediction.answer.strip():
            raise AnswerError(f"language model {request.lm.name!r} gave an empty answer; try a more capable model")
        if lm.unfinished:
            notes.append(f"language model {request.lm.name!r} {lm.unfinished}")
        return Draft(
            answer=prediction.answer,
            citations=prediction.citations,
            found=prediction.found,
            note="; ".join(notes) or None,
            written=spent.written(request.lm.name, compiled),
        )

    def _loaded(self, request: AnswerRequest) -> tuple[GroundedModule, str | None, list[str]]:
        """The module with the collection's compiled program and its name, or as it is and why."""
        module = self.module(Retriever.fixed(request.retrievals))
        path = self.program_path(request.retrievals[0].collection)
        provenance = provenance_of(request.retrievals[0], request.lm.name)
        try:
            state = (path.stat().st_mtime_ns, provenance)
        except OSError:
            return module, None, []
        try:
            if self._programs.get(path, (None,))[0] != state:
                saved = read_program(path)
                self._programs[path] = (state, saved, restore_program(module, saved, path, provenance=provenance))
            _, saved, program = self._programs[path]
            require_known(saved, path, request.retrievals[0].as_of)
            # Requests share its prompts, each with a retriever of its own.
            return copy.copy(program), path.name, []
        except AnswerError as error:
            log.warning("serving uncompiled: %s", error)
            return module, None, [f"served uncompiled: {error}"]


def _tell(
    loop: asyncio.AbstractEventLoop, pieces: "asyncio.Queue[str | Draft | None]", piece: str | Draft | None
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(pieces.put_nowait, piece)


async def _rewritten(question: str, history: Sequence[Turn], lm: LanguageModel) -> str:
    allowed, its = rewriting_allowance(question, history, lm), share_of(lm)
    if allowed is None:
        raise AnswerError(NOT_REWRITTEN.format(budget=lm.token_budget))
    adapter = ReplyAdapter(use_json_adapter_fallback=allowed.json_fallback)
    client = shared_language_model(its, time.monotonic() + its.timeout_s)
    with answer_errors(its), dspy.context(lm=client, adapter=adapter, disable_history=False):
        async with asyncio.timeout(its.timeout_s):
            return str(await Rewrite().acall(question=question, history=history))

"""Answers requests with a site's module: compiled where a program fits, within the deadline and the token budget."""

import asyncio
import copy
import inspect
import logging
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dspy

from overfetch import AnswerError, AnswerRequest, Draft, LanguageModel, Retrieval, Turn, redacted
from overfetch_answers.guarding import RetryCitations
from overfetch_answers.language_model import Allowance, allowance, shared_language_model
from overfetch_answers.looping import result_of, submit, turn, wait_for
from overfetch_answers.module import GroundedModule
from overfetch_answers.programs import SavedProgram, provenance_of, read_program, require_known, restore_program
from overfetch_answers.replies import ReplyAdapter
from overfetch_answers.retriever import Retriever
from overfetch_answers.rewriting import Rewrite
from overfetch_answers.spending import Spending
from overfetch_answers.streaming import Emit, stream_prediction

log = logging.getLogger(__name__)

ATTEMPTS = 2
SHOWN_CHARACTERS = 200


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
        with answer_errors(request.lm):
            async with asyncio.timeout(request.lm.timeout_s), turn():
                return await self._answer(request, emit)

    async def _answer(self, request: AnswerRequest, emit: Emit | None) -> Draft:
        lm, spent = shared_language_model(request.lm), Spending()
        module, compiled, notes = self._loaded(request)
        fitted, allowed, left_out = fit(module, request)
        if left_out:
            notes.append(f"{left_out} passages were left out: token budget {request.lm.token_budget}")
        module.retrieve = Retriever.fixed(fitted)
        program = RetryCitations(module, allowed.attempts)
        adapter = ReplyAdapter(use_json_adapter_fallback=allowed.json_fallback)
        history = {"history": [*request.history]} if request.history and module.reads_history else {}
        with dspy.context(lm=lm, adapter=adapter, disable_history=True, usage_tracker=spent):
            inputs = {"question": request.question, **history}
            if emit is None or module.streamed is None:
                prediction = await program.acall(**inputs)
            else:
                prediction = await stream_prediction(program, module, fitted, emit, **inputs)
        if not prediction.answer.strip():
            raise AnswerError(f"language model {request.lm.name!r} gave an empty answer; try a more capable model")
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


def fit(module: GroundedModule, request: AnswerRequest) -> tuple[tuple[Retrieval, ...], Allowance, int]:
    """The retrievals that the token budget has room for, what it allows with them, and how many passages it cost.

    The last passage of the longest list goes first; each list keeps one. Raises AnswerError.
    """
    kept, left_out = list(request.retrievals), 0
    if request.lm.token_budget is None:
        return tuple(kept), Allowance(ATTEMPTS, json_fallback=True), 0
    while True:
        needed = module.prompt_tokens(request.question, kept, request.history)
        allowed = allowance(request.lm, needed, ATTEMPTS)
        if allowed is not None:
            return tuple(kept), allowed, left_out
        longest = max(range(len(kept)), key=lambda i: len(kept[i].hits))
        if len(kept[longest].hits) <= 1:
            raise AnswerError(
                f"the prompt takes about {needed} tokens, and the reply has to fit too: "
                f"a token budget of {request.lm.token_budget} is too small (OVERFETCH_LM_TOKEN_BUDGET)"
            )
        kept[longest] = kept[longest].model_copy(update={"hits": kept[longest].hits[:-1]})
        left_out += 1


def _tell(
    loop: asyncio.AbstractEventLoop, pieces: "asyncio.Queue[str | Draft | None]", piece: str | Draft | None
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(pieces.put_nowait, piece)


async def _rewritten(question: str, history: Sequence[Turn], lm: LanguageModel) -> str:
    with answer_errors(lm), dspy.context(lm=shared_language_model(lm), adapter=ReplyAdapter(), disable_history=True):
        async with asyncio.timeout(lm.timeout_s):
            return str(await Rewrite().acall(question=question, history=history))


@contextmanager
def answer_errors(lm: LanguageModel) -> Iterator[None]:
    """Whatever fails here becomes an AnswerError: a failing model or module costs the text, never the request."""
    model = f"language model {lm.name!r}" + (f" at {lm.api_base!r}" if lm.api_base else "")
    try:
        yield
    except AnswerError:
        raise
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
    except Exception as error:
        log.error("the answer module failed\n%s", redacted(traceback.format_exc()))
        raise AnswerError(
            f"the answer module failed on a reply of {model} ({type(error).__name__}: {error})"
        ) from error


def _shorten(text: str) -> str:
    """Keys are taken out before one could be cut in two."""
    return " ".join(redacted(text).split())[:SHOWN_CHARACTERS]

"""What of a request there is room for: in the token budget, and in the time that it has."""

import time
from typing import NamedTuple

from overfetch import AnswerError, AnswerRequest
from overfetch_answers.language_model import Allowance, allowance
from overfetch_answers.module import GroundedModule
from overfetch_answers.rewriting import NOT_REWRITTEN, SHARE, rewriting_allowance

ATTEMPTS = 2


class Fitted(NamedTuple):
    """The request with the turns and passages that there is room for, what it may spend, and what was left out."""

    request: AnswerRequest
    allowed: Allowance
    notes: list[str]


def fit(module: GroundedModule, request: AnswerRequest) -> Fitted:
    """The oldest turns go first, then the last passage of the longest list, and at last the turn before; each list
    keeps a passage. Raises AnswerError.
    """
    lm, spent, notes = request.lm, *_of_rewriting(request)
    kept = request if module.reads_history else request.model_copy(update={"history": ()})
    turns, passages = len(kept.history), _count_passages(kept)
    while True:
        needed = module.prompt_tokens(kept.question, kept.retrievals, kept.history) if lm.token_budget else 0
        if allowed := allowance(lm, needed, ATTEMPTS, spent):
            break
        if (smaller := _smaller(kept)) is None:
            raise AnswerError(
                f"the prompt takes about {needed} tokens, and the reply has to fit too: "
                f"a token budget of {lm.token_budget} is too small (OVERFETCH_LM_TOKEN_BUDGET)"
            )
        kept = smaller
    lost = {"turns": turns - len(kept.history), "passages": passages - _count_passages(kept)}
    notes += [f"{n} {what} were left out: token budget {lm.token_budget}" for what, n in lost.items() if n]
    return Fitted(kept, allowed, notes)


def time_to_write(request: AnswerRequest) -> tuple[float, str]:
    """The seconds that there are, and how to allow more where they were too few."""
    usual = request.lm.timeout_s * (1 - 1 / SHARE if _is_rewritten(request) else 1)
    left = usual if request.deadline is None else request.deadline - time.monotonic()
    if left < usual:
        return left, "within the request's deadline; allow more (deadline_ms)"
    return usual, f"in {usual:g} s; allow more (OVERFETCH_LM_TIMEOUT_S)"


def _smaller(request: AnswerRequest) -> AnswerRequest | None:
    """Without one turn or passage; None where nothing can go."""
    history, found = request.history, [*request.retrievals]
    longest = max(range(len(found)), key=lambda i: len(found[i].hits))
    hits = found[longest].hits
    if len(history) > 1 or (history and len(hits) <= 1):
        return request.model_copy(update={"history": history[1:]})
    if len(hits) <= 1:
        return None
    found[longest] = found[longest].model_copy(update={"hits": hits[:-1]})
    return request.model_copy(update={"retrievals": tuple(found)})


def _count_passages(request: AnswerRequest) -> int:
    return sum(len(found.hits) for found in request.retrievals)


def _is_rewritten(request: AnswerRequest) -> bool:
    """Of a question in parts, each is searched for as it stands."""
    return bool(request.lm.rewrites and request.history and len(request.retrievals) == 1)


def _of_rewriting(request: AnswerRequest) -> tuple[int, list[str]]:
    """The tokens that rewriting the question had, and what is to be told of it."""
    budget = request.lm.token_budget
    if budget is None or not _is_rewritten(request):
        return 0, []
    if rewriting_allowance(request.question, request.history, request.lm) is None:
        return 0, [NOT_REWRITTEN.format(budget=budget)]
    return budget // SHARE, []

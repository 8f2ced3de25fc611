"""From retrievals to a cited answer: by a site's language-model module, or by quoting the best sentences."""

import importlib
import logging
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from pydantic import Field
from sentencex import segment

from overfetch.citations import OnRefused, guard
from overfetch.errors import AnswerError
from overfetch.protocols import Reranker
from overfetch.types import Answer, Citation, Frozen, Hit, Passage, Retrieval

log = logging.getLogger(__name__)

QUOTED_SENTENCES = 3
SENTENCES_PER_PART = 2
READ_HITS = 3
MIN_WORDS, MAX_WORDS = 5, 60


class LanguageModel(Frozen):
    """Which language model answers: any DSPy model string, and where it is served."""

    name: str
    api_base: str | None = None
    api_key: str | None = Field(default=None, repr=False)
    timeout_s: float = 60.0


class Draft(Frozen):
    """What an answer module returns, before its citations are checked; in the answer `[n]` names the nth of them.

    `found` is False where the module says that the sources hold no answer; only then may citations lack.
    """

    answer: str
    citations: tuple[Citation, ...]
    found: bool = True


class AnswerRequest(Frozen):
    """What an answer module is given."""

    question: str
    retrievals: tuple[Retrieval, ...]
    lm: LanguageModel


AnswerFunction = Callable[[AnswerRequest], Draft]


def answer(
    question: str,
    retrievals: Sequence[Retrieval],
    *,
    reranker: Reranker,
    answering: str,
    lm: LanguageModel | None,
    on_refused: OnRefused = "flag",
) -> Answer:
    """The module `answering` answers where a language model is given; without one, or if it fails, quotes do."""
    reason = "no language model is configured (OVERFETCH_LM)"
    if not any(r.hits for r in retrievals):
        reason = "nothing was found"
    elif lm is not None:
        try:
            request = AnswerRequest(question=question, retrievals=tuple(retrievals), lm=lm)
            return _checked(load_answer_function(answering)(request), request, on_refused)
        except AnswerError as error:
            log.warning("answering extractively: %s", error)
            reason = str(error)
    return extractive_answer(question, retrievals, reranker, reason)


def _checked(draft: Draft, request: AnswerRequest, on_refused: OnRefused) -> Answer:
    """The draft with the citations that hold. Raises AnswerError where it claims an answer and none does."""
    guarded = guard(draft.answer, draft.citations, request.retrievals, on_refused)
    if draft.found and not guarded.citations:
        given = len(draft.citations)
        raise AnswerError(f"{request.lm.name!r} answered, but of its {given} citations none is in the sources")
    return Answer(
        question=request.question,
        answer=guarded.answer,
        mode="lm",
        citations=guarded.citations,
        refused=guarded.refused,
        coverage=guarded.coverage if draft.found else None,
        retrievals=request.retrievals,
    )


def load_answer_function(path: str) -> AnswerFunction:
    """The function named `module:function`. Raises AnswerError."""
    module, _, name = path.partition(":")
    try:
        function: AnswerFunction = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, SyntaxError) as error:
        raise AnswerError(f"cannot load the answer module {path!r}: {error}") from error
    return function


def normalise(text: str) -> str:
    """Compatibility form with single spaces: what counts as verbatim."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


class Sentence(NamedTuple):
    """A sentence of a hit, where it stands, and how well it answers."""

    text: str
    passage: Passage
    place: tuple[int, int, int]


def extractive_answer(question: str, retrievals: Sequence[Retrieval], reranker: Reranker, reason: str) -> Answer:
    """Quotes the sentences that the reranker finds best, in reading order, and says that it only quotes."""
    each = QUOTED_SENTENCES if len(retrievals) == 1 else SENTENCES_PER_PART
    chosen = [s for part, r in enumerate(retrievals) for s in _best_sentences(part, r, reranker, each)]
    citations = tuple(
        Citation(passage_id=s.passage.id, document_id=s.passage.document_id, quote=s.text) for s in chosen
    )
    text = " ".join(f"“{s.text}” [{number}]" for number, s in enumerate(chosen, start=1))
    return Answer(
        question=question,
        answer=text or "Nothing in this collection answers the question.",
        mode="extractive",
        reason=reason,
        citations=citations,
        coverage=1.0 if chosen else None,
        retrievals=tuple(retrievals),
    )


def _best_sentences(part: int, retrieval: Retrieval, reranker: Reranker, number: int) -> list[Sentence]:
    sentences = [s for hit in retrieval.hits[:READ_HITS] for s in _sentences(part, hit)]
    distinct = list({normalise(s.text).lower(): s for s in reversed(sentences)}.values())[::-1]
    if retrieval.rerank_status != "full":  # off, out of time or out of order: not once more for sentences
        return distinct[:number]
    try:
        logits = reranker.score(retrieval.query, [f"{s.passage.breadcrumb}\n{s.text}" for s in distinct]).logits
    except Exception as error:
        log.warning("choosing sentences by rank, since the reranker failed: %s", error)
        logits = [-float(place) for place in range(len(distinct))]
    best = sorted(range(len(distinct)), key=lambda i: -logits[i])[:number]
    return sorted((distinct[i] for i in best), key=lambda s: s.place)


def _sentences(part: int, hit: Hit) -> Iterator[Sentence]:
    """Whole sentences of prose; code, tables and list markers are left out."""
    prose = "\n".join("" if _is_markup(line) else line.lstrip("-*• ") for line in hit.passage.text.splitlines())
    for number, sentence in enumerate(segment("en", prose)):
        text = normalise(sentence)
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS and text in normalise(hit.passage.text):
            yield Sentence(text, hit.passage, (part, hit.rank, number))


def _is_markup(line: str) -> bool:
    return line.lstrip().startswith(("|", "```", "#", ">")) or line.startswith("    ")

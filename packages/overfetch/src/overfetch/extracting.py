"""The extractive answer: the best sentences of the passages, quoted in reading order; no language model writes it."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

from sentencex import segment

from overfetch.protocols import Reranker
from overfetch.types import Answer, Citation, Hit, Passage, Retrieval
from overfetch.verbatim import find_verbatim, fold

log = logging.getLogger(__name__)

QUOTED_SENTENCES = 3
SENTENCES_PER_PART = 2
MIN_WORDS, MAX_WORDS = 5, 60


class Sentence(NamedTuple):
    """A sentence of a hit, where it stands, and how well it answers."""

    text: str
    passage: Passage
    place: tuple[int, int, int]


def extractive_answer(
    question: str, retrievals: Sequence[Retrieval], reranker: Reranker, reason: str, quoted_hits: int
) -> Answer:
    """Quotes the sentences that the reranker finds best, in reading order, and says that it only quotes.

    They come from the best `quoted_hits` hits that have sentences.
    """
    each = QUOTED_SENTENCES if len(retrievals) == 1 else SENTENCES_PER_PART
    chosen = [s for part, r in enumerate(retrievals) for s in _best_sentences(part, r, reranker, each, quoted_hits)]
    citations = tuple(
        Citation(passage_id=s.passage.id, document_id=s.passage.document_id, quote=s.text) for s in chosen
    )
    text = " ".join(f"“{s.text}” [{number}]" for number, s in enumerate(chosen, start=1))
    return Answer(
        question=question,
        answer=text or "Nothing in this collection answers the question.",
        mode="extractive",
        found=bool(chosen),
        reason=reason,
        citations=citations,
        coverage=1.0 if chosen else None,
        retrievals=tuple(retrievals),
    )


def _best_sentences(
    part: int, retrieval: Retrieval, reranker: Reranker, number: int, quoted_hits: int
) -> list[Sentence]:
    of_hits = [found for hit in retrieval.hits if (found := list(_sentences(part, hit)))]
    sentences = list(chain.from_iterable(of_hits[:quoted_hits]))
    distinct = list({fold(s.text).text.lower(): s for s in reversed(sentences)}.values())[::-1]
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
    """Whole sentences of prose that hold as quotes; code, tables and list markers are left out."""
    prose = "\n".join("" if _is_markup(line) else line.lstrip("-*• ") for line in hit.passage.text.splitlines())
    for number, sentence in enumerate(segment("en", prose)):
        quote = find_verbatim(sentence, hit.passage.text)
        if quote and MIN_WORDS <= len(quote.split()) <= MAX_WORDS:
            yield Sentence(quote, hit.passage, (part, hit.rank, number))


def _is_markup(line: str) -> bool:
    return line.lstrip().startswith(("|", "```", "#", ">")) or line.startswith("    ")

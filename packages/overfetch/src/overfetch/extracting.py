"""The extractive answer: the best sentences of the passages, quoted in reading order; no language model writes it."""

import logging
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from overfetch.markup import has_marks, unmarked
from overfetch.protocols import Reranker
from overfetch.sentences import sentences_of
from overfetch.types import Answer, Citation, Hit, Passage, Retrieval
from overfetch.verbatim import WITHOUT_SPACES, count_words, find_verbatim, fold

log = logging.getLogger(__name__)

QUOTED_SENTENCES = 3
SENTENCES_PER_PART = 2
MIN_WORDS, MAX_WORDS = 5, 60
NOTHING = "Nothing in this collection answers the question."
# Of one passage, however long a site makes them: each sentence is looked for and read by the reranker.
MOST_CHARACTERS, MOST_SENTENCES = 20_000, 100


class Sentence(NamedTuple):
    """A sentence of a hit, where it stands, and how well it answers."""

    text: str
    passage: Passage
    place: tuple[int, int, int]


def extractive_answer(
    question: str, retrievals: Sequence[Retrieval], reranker: Reranker, reason: str, quoted_hits: int
) -> Answer:
    """Quotes the sentences that the reranker finds best, in reading order, and says that it only quotes.

    They come from the best `quoted_hits` hits that have sentences; of what asks for something that the collection
    does not hold, there are none.
    """
    each = QUOTED_SENTENCES if len(retrievals) == 1 else SENTENCES_PER_PART
    missing = [told for r in retrievals if r.understood for told in r.understood.missing]
    answerable = [(part, r) for part, r in enumerate(retrievals) if not (r.understood and r.understood.missing)]
    chosen = [s for part, r in answerable for s in _best_sentences(part, r, reranker, each, quoted_hits)]
    citations = tuple(
        Citation(passage_id=s.passage.id, document_id=s.passage.document_id, quote=s.text) for s in chosen
    )
    text = " ".join(f"“{s.text}” [{number}]" for number, s in enumerate(chosen, start=1))
    return Answer(
        question=question,
        answer=text or (f"Not in the sources: {'; '.join(missing)}." if missing else NOTHING),
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
        logits = reranker.score(
            retrieval.read or retrieval.query, [f"{s.passage.breadcrumb}\n{s.text}" for s in distinct]
        ).logits
    except Exception as error:
        log.warning("choosing sentences by rank, since the reranker failed: %s", error)
        logits = [-float(place) for place in range(len(distinct))]
    best = sorted(range(len(distinct)), key=lambda i: -logits[i])[:number]
    return sorted((distinct[i] for i in best), key=lambda s: s.place)


def _sentences(part: int, hit: Hit) -> Iterator[Sentence]:
    """Whole sentences of prose that hold as quotes; tables and halves of markup are left out."""
    text = hit.passage.text[:MOST_CHARACTERS]
    prose = "\n".join("" if _is_markup(line) else line.lstrip("-*• ") for line in text.splitlines())
    for number, sentence in enumerate(islice(_parts(unmarked(prose, code=False)), MOST_SENTENCES)):
        if not MIN_WORDS <= count_words(sentence) <= MAX_WORDS or has_marks(sentence):
            continue
        quote = find_verbatim(sentence, text)
        if quote and MIN_WORDS <= count_words(quote) <= MAX_WORDS:
            yield Sentence(quote, hit.passage, (part, hit.rank, number))


def _parts(prose: str) -> Iterator[str]:
    """Sentences; the phrases of a long one in a script such as Thai, which has spaces where others have full stops."""
    for sentence in sentences_of(prose):
        if count_words(sentence) > MAX_WORDS and WITHOUT_SPACES.search(sentence):
            yield from sentence.split()
        else:
            yield sentence


def _is_markup(line: str) -> bool:
    return line.lstrip().startswith(("|", "```", "#", ">")) or line.startswith("    ")

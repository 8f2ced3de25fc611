"""The extractive answer: the best pieces of the passages, quoted in reading order; no language model writes it."""

import logging
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import NamedTuple

from overfetch.markers import MARKERS
from overfetch.markup import has_marks
from overfetch.protocols import Reranker
from overfetch.quotable import MOST_WORDS, pieces_of
from overfetch.refusing import RefusalRule
from overfetch.scheduling import ahead
from overfetch.types import ALL_READ, Answer, Citation, Hit, Passage, Retrieval
from overfetch.verbatim import count_words, find_verbatim, fold

log = logging.getLogger(__name__)

MOST_QUOTES = 3
QUOTES_PER_PART = 2
NOTHING = "Nothing in this collection answers the question."
NOT_THERE = "Not in the sources"
ROUND = str.maketrans("[［【〔]］】〕", "((((" + "))))")
NOT_SHOWN = f"{NOT_THERE}, as far as the scores of the best passages show."
# Of one passage, however long a site makes them: each piece is looked for and read by the reranker.
MOST_CHARACTERS, MOST_PIECES, LONGEST_FIGURE = 20_000, 100, 100


class Quotable(NamedTuple):
    """A sentence, an item, a row or a line of code of a hit, and where it stands."""

    text: str
    passage: Passage
    place: tuple[int, int, int]
    is_code: bool

    @property
    def reading(self) -> str:
        """What the reranker reads: under its heading."""
        return f"{self.passage.breadcrumb}\n{self.text}"

    @property
    def shown(self) -> str:
        """A source's own `[2]` in round brackets, since it is no citation of the answer."""
        prose = MARKERS.sub(lambda found: found[0].translate(ROUND), self.text)
        return f"`{self.text}`" if self.is_code else f"“{prose}”"


def extractive_answer(
    question: str,
    retrievals: Sequence[Retrieval],
    reranker: Reranker,
    reason: str,
    quoted_hits: int,
    rules: Sequence[RefusalRule] = (),
    deadline: float | None = None,
) -> Answer:
    """Quotes what names what is asked for and what the reranker finds best, in reading order; says that it only quotes.

    It comes from the best `quoted_hits` hits that have any; nothing is quoted for what the collection does not hold,
    nor for what one of the `rules` refuses. Where `deadline` (`time.monotonic()`) leaves no time to read sentences, the
    first of the best hits are quoted, and the reason says so.
    """
    reader = _SentenceReader(reranker, deadline)
    each = MOST_QUOTES if len(retrievals) == 1 else QUOTES_PER_PART
    missing = [told for r in retrievals if r.understood for told in r.understood.missing]
    refused = {part: told for part, r in enumerate(retrievals) if (told := _refusal(r, rules))}
    answerable = [(part, r) for part, r in enumerate(retrievals) if not (_missing(r) or part in refused)]
    chosen = [q for part, r in answerable for q in _best_pieces(part, r, reader, each, quoted_hits)]
    citations = tuple(
        Citation(passage_id=q.passage.id, document_id=q.passage.document_id, quote=q.text) for q in chosen
    )
    text = " ".join(f"{q.shown} [{number}]" for number, q in enumerate(chosen, start=1))
    return Answer(
        question=question,
        answer=text or (f"{NOT_THERE}: {'; '.join(missing)}." if missing else NOT_SHOWN if refused else NOTHING),
        mode="extractive",
        found=bool(chosen),
        reason="; ".join(dict.fromkeys([reason, *refused.values(), *reader.told])),
        citations=citations,
        coverage=1.0 if chosen else None,
        retrievals=tuple(retrievals),
    )


def _missing(retrieval: Retrieval) -> bool:
    return bool(retrieval.understood and retrieval.understood.missing)


def _refusal(retrieval: Retrieval, rules: Sequence[RefusalRule]) -> str | None:
    return next((told for rule in rules if (told := rule.refusal(retrieval))), None)


def _best_pieces(
    part: int, retrieval: Retrieval, reader: "_SentenceReader", number: int, quoted_hits: int
) -> list[Quotable]:
    """Where any hit leads, others are not quoted: they are about something else."""
    found = [(hit.leads, quotables) for hit in retrieval.hits if (quotables := list(_quotables(part, hit)))]
    leading = [quotables for leads, quotables in found if leads]
    of_hits = (leading or [quotables for _, quotables in found])[:quoted_hits]
    distinct = list({fold(q.text).text.lower(): q for q in reversed([*chain.from_iterable(of_hits)])}.values())[::-1]
    merit = reader.merits(distinct, retrieval)
    best = [distinct[i] for i in sorted(range(len(distinct)), key=lambda i: -merit[i])]
    named = retrieval.understood.named if retrieval.understood else ()
    return sorted((best[i] for i in named_first([q.reading for q in best], named)[:number]), key=lambda q: q.place)


class _SentenceReader:
    """`told` is why sentences were taken by their place where the passages themselves were read."""

    def __init__(self, reranker: Reranker, deadline: float | None) -> None:
        self.told: list[str] = []
        self._reranker = reranker
        self._deadline = deadline

    def merits(self, quotables: Sequence[Quotable], retrieval: Retrieval) -> Sequence[float]:
        """The reranker's logits; by place where it did not read the passages either."""
        by_place = [-float(place) for place in range(len(quotables))]
        if retrieval.rerank_status not in ALL_READ:  # off, out of time or out of order: not once more for sentences
            return by_place
        query = retrieval.read or retrieval.query
        try:
            with ahead():  # the passages that they are of have waited already
                logits = self._reranker.score(query, [q.reading for q in quotables], self._deadline).logits
        except Exception as error:
            log.warning("choosing quotes by rank, since the reranker failed: %s", error)
            self.told.append("sentences in order of rank, since the reranker failed")
            return by_place
        if len(logits) < len(quotables):
            self.told.append("sentences in order of rank, since the deadline left no time to read them")
            return by_place
        return logits


def named_first(texts: Sequence[str], names: Sequence[str]) -> list[int]:
    """Places of all the texts: those that have one of the names go first, each name in its turn.

    >>> named_first(["It falls.", "The Sun shines.", "Of the Moon.", "The sun again."], ["the sun", "the moon"])
    [1, 2, 3, 0]
    """
    having = ([place for place, text in enumerate(texts) if has_name.search(text)] for has_name in map(_pattern, names))
    turns = chain.from_iterable(zip_longest(*having))
    return list(dict.fromkeys([*(place for place in turns if place is not None), *range(len(texts))]))


def _pattern(name: str) -> re.Pattern[str]:
    """The name as a word of its own, however its words are joined."""
    return re.compile(r"(?<!\w)" + r"\W{1,3}".join(map(re.escape, name.split())) + r"(?!\w)", re.IGNORECASE)


def _quotables(part: int, hit: Hit) -> Iterator[Quotable]:
    """Pieces that hold as quotes."""
    text = hit.passage.text[: MOST_CHARACTERS + LONGEST_FIGURE]  # what is cut may end within a figure
    for number, piece in enumerate(islice(pieces_of(text[:MOST_CHARACTERS]), MOST_PIECES)):
        quote = find_verbatim(piece.text, text)
        is_code = piece.kind == "code"
        # Decoded, it may be HTML.
        if quote and count_words(quote) <= MOST_WORDS and (is_code or not has_marks(quote)):
            yield Quotable(quote, hit.passage, (part, hit.rank, number), is_code)

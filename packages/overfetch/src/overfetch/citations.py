"""The citation guard: a citation holds where its passage was retrieved, says so verbatim, and was known in time.

Deterministic and without a model. The same check serves as a metric, gives the feedback of a retry, and guards what
is served. In an answer `[n]` names the nth citation.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from overfetch.errors import SettingsError
from overfetch.filters import parse_date
from overfetch.markers import MARKERS, mask_code, renumbering, replace_outside_code
from overfetch.sentences import sentences_of
from overfetch.types import AsOf, Citation, OnRefused, Passage, RefusedCitation, Retrieval
from overfetch.verbatim import count_words, find_verbatim

UNVERIFIED = "[unverified]"
MARKER = re.compile(r"\[\d+\]")  # as renumbered
LATE_MARKERS = re.compile(r"(?:\s*\[(?:\d+|unverified)\])+")
MARKER_BEGUN = re.compile(r"\s*[\[［【〔(（&\\][^\]］】〕)）;]*")
CODE_ENDS = ("x`", "\nx\n```", "\nx\n~~~")
LIST_MARKER = re.compile(r"\s*(?:\d+[.)]|[-*•])\s+")


class Guarded(NamedTuple):
    """An answer whose markers name citations that hold, what was refused and why, and how much is covered.

    `coverage` is the share of the answer's sentences that carry a citation that holds.
    """

    answer: str
    citations: tuple[Citation, ...]
    refused: tuple[RefusedCitation, ...]
    coverage: float


def guard(
    answer: str, citations: Sequence[Citation], retrievals: Sequence[Retrieval], on_refused: OnRefused = "flag"
) -> Guarded:
    """Keeps the citations that hold and renumbers their markers.

    A marker of any other turns into `[unverified]`; with `drop`, a sentence that has no other support goes instead.
    """
    checked = check_citations(citations, retrievals)
    held = {c: n for n, c in enumerate(dict.fromkeys(c for c in checked if isinstance(c, Citation)), start=1)}
    numbers = {n: [held[c]] for n, c in enumerate(checked, start=1) if isinstance(c, Citation)}
    sentences = _split(*replace_outside_code(MARKERS, renumbering(numbers, UNVERIFIED), answer))
    if on_refused == "drop":
        sentences = [s for s in sentences if UNVERIFIED not in s.prose or MARKER.search(s.prose)]
    claims = [s.prose for s in sentences if any(map(str.isalpha, MARKER.sub("", s.prose.replace(UNVERIFIED, ""))))]
    return Guarded(
        answer="".join(s.text for s in sentences).strip(),
        citations=tuple(held),
        refused=tuple(c for c in checked if isinstance(c, RefusedCitation)),
        coverage=sum(MARKER.search(claim) is not None for claim in claims) / len(claims) if claims else 0.0,
    )


def check_citations(citations: Iterable[Citation], retrievals: Sequence[Retrieval]) -> list[Citation | RefusedCitation]:
    """Each citation in turn: where it holds with its passage's own words and document, else refused with the reason."""
    sources = {hit.passage.id: (hit.passage, r.as_of) for r in retrievals for hit in r.hits}
    return [_check(citation, sources) for citation in citations]


def keep_valid(citations: Iterable[Citation], retrievals: Sequence[Retrieval]) -> Iterator[Citation]:
    """The citations that hold."""
    return (c for c in check_citations(citations, retrievals) if isinstance(c, Citation))


def _check(citation: Citation, sources: Mapping[str, tuple[Passage, AsOf | None]]) -> Citation | RefusedCitation:
    if citation.passage_id not in sources:
        return RefusedCitation(citation=citation, reason="the passage was not retrieved")
    passage, as_of = sources[citation.passage_id]
    if as_of is not None and not was_known(passage, as_of):
        known = passage.metadata.get(as_of.field)
        return RefusedCitation(citation=citation, reason=f"known only at {known}, after {as_of.moment.isoformat()}")
    # Apart, so that no quote runs from the title into the text.
    words = find_verbatim(citation.quote, passage.text) or _find_in_heading(citation.quote, passage.breadcrumb)
    if words is None:
        return RefusedCitation(citation=citation, reason="the quote is not verbatim in the passage, or too short")
    return Citation(passage_id=passage.id, document_id=passage.document_id, quote=words)


def _find_in_heading(quote: str, breadcrumb: str) -> str | None:
    """One word of a heading says nothing."""
    words = find_verbatim(quote, breadcrumb)
    return words if words and count_words(words) > 1 else None


def was_known(passage: Passage, as_of: AsOf) -> bool:
    """As the filter has it: a passage without the date was not."""
    try:
        return parse_date(str(passage.metadata.get(as_of.field))) <= as_of.moment
    except SettingsError:
        return False


class Sentence(NamedTuple):
    """A sentence of an answer, and the same without its code."""

    text: str
    prose: str


def split_sentences(answer: str) -> list[str]:
    """Sentences that join to the answer again; markers after a full stop stay with their sentence."""
    return [sentence.text for sentence in _split(answer, mask_code(answer))]


def whole_sentences(written: str) -> str:
    """Of an answer that is still being written, the beginning that no longer changes.

    Its last sentence may yet get markers, as may the one before where one has begun; where code has begun and not
    ended, brackets may be either.
    """
    *sentences, rest = split_sentences(written) or [""]
    if MARKER_BEGUN.fullmatch(rest):
        sentences = sentences[:-1]
    while sentences and (begun := _code_begun("".join(sentences))) is not None:
        length = sum(map(len, sentences))
        while sentences and length > begun:  # all that may be code at once: to look again after each took cubic time
            length -= len(sentences.pop())
    return "".join(sentences)


def _code_begun(text: str) -> int | None:
    """Where what may yet become code begins; None where nothing may."""
    masked = mask_code(text)
    closed = [mask_code(text + end) for end in CODE_ENDS]
    return next((place for place, letter in enumerate(masked) if any(c[place] != letter for c in closed)), None)


def _split(answer: str, masked: str) -> list[Sentence]:
    sentences: list[Sentence] = []
    start = 0
    for line in masked.splitlines(keepends=True):
        for prose in _split_line(line):
            sentences.append(Sentence(answer[start : start + len(prose)], prose))
            start += len(prose)
    return sentences


def _split_line(line: str) -> list[str]:
    start = LIST_MARKER.match(line)
    sentences = [start.group() if start else ""]
    for number, piece in enumerate(sentences_of(line[len(sentences[0]) :])):
        late = LATE_MARKERS.match(piece) if number else None
        sentences[-1] += late.group() if late else ""
        rest = piece[late.end() :] if late else piece
        if number and rest.strip():
            sentences.append(rest)
        else:
            sentences[-1] += rest
    return sentences

"""The first stage of an understood question: its own list, one for each focus, and both fused by rank."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain, pairwise
from typing import NamedTuple, Protocol

from overfetch.bm25 import reading_of
from overfetch.filters import Condition
from overfetch.fusion import by_rank
from overfetch.protocols import EncodedQuery, Store, Vectors
from overfetch.provenance import Provenance
from overfetch.settings import RetrievalSettings
from overfetch.sparse import embed_sparse_query
from overfetch.spelling import humps, is_alike, without_accents
from overfetch.types import Candidate, Passage
from overfetch.understanding import Focus, Understood

GROUPING_DEPTH = 3
LOOKED_AT = 2_000  # characters of a passage
WORD = re.compile(r"\w+")
FEW = 5  # passages that alone have a rare word are read, of all such words
LEVEL = 100  # more than focuses: what their numbers are less by for each step that they lead by


class Search(Protocol):
    """One list: what a text finds among the passages that meet the conditions, best first; all with its words if so."""

    def __call__(self, text: str, conditions: Sequence[Condition], *, worded: bool = False) -> Sequence[Candidate]: ...


Leading = Mapping[str, Sequence[int]]
"""By the id of each passage that leads, the numbers of the focuses that found it, less for those that lead by more."""

NOTHING_LEADS: Leading = {}


class FirstStage(NamedTuple):
    """The candidates to read, best first, and which of the focuses that lead found each of those that do.

    `given_up`: nothing met the question's own conditions. `missing` says what it asks for that is not there.
    """

    candidates: list[Candidate]
    leading: Leading = NOTHING_LEADS
    given_up: bool = False
    missing: tuple[str, ...] = ()


class Ranked(NamedTuple):
    """One list and its share in the fusion."""

    weight: float
    candidates: Sequence[Candidate]


class StoreSearch:
    """The lists of one collection in a store, within `bounds`; `provenance` tells what made what they hold."""

    def __init__(
        self,
        store: Store,
        collection: str,
        vectors: Mapping[str, Vectors],
        bounds: Sequence[Condition],
        settings: RetrievalSettings,
        expected: Provenance,
    ) -> None:
        self.store = store
        self.collection = collection
        self.vectors = vectors
        self.bounds = bounds
        self.settings = deepened(settings)
        self.expected = expected
        self.provenance = expected
        self._tokenizer = expected.sparse_tokenizer

    def __call__(self, text: str, conditions: Sequence[Condition], *, worded: bool = False) -> Sequence[Candidate]:
        # Words alone need no vector: any will do.
        vector = next(iter(self.vectors.values())) if worded else self.vectors[text]
        query = EncodedQuery(vector, embed_sparse_query(text, self._tokenizer))
        settings = worded_settings(self.settings, query, worded=worded)
        if settings is None:
            return ()
        bounds = [*self.bounds, *conditions]
        found = self.store.search(self.collection, query, bounds, settings, expected=self.expected)
        self.provenance = found.provenance
        stored = found.provenance.sparse_tokenizer
        if reading_of(stored) != reading_of(self._tokenizer):  # made before: asked again in its own terms
            self._tokenizer = stored
            return self(text, conditions, worded=worded)
        return found.candidates

    def known(self, understood: Understood) -> Understood:
        """What of it can be asked: what was indexed before a field was declared goes on serving without it."""
        if not (understood.conditions or understood.focuses):
            return understood
        searched = 0 if self.bounds or understood.conditions else self._stored.passages or 0  # of a part nobody knows
        return understood.on({*(self._stored.filters or ())}, searched)

    @cached_property
    def _stored(self) -> Provenance:
        """Asked once for all parts of a question."""
        return self.store.provenance(self.collection)


def search_understood(understood: Understood, search: Search, settings: RetrievalSettings) -> FirstStage:
    """At most `top_k` candidates of all the question's lists."""
    conditions = understood.conditions
    found = search(understood.text, conditions)
    given_up = bool(conditions) and not found
    if given_up:
        conditions = ()
        found = search(understood.text, ())
    lists, leading, there = [Ranked(1.0, found)], defaultdict[str, list[int]](list), dict[str, bool]()
    heard, room = Heard(found), min(FEW, settings.top_k // 4)
    for number, focus in enumerate(understood.focuses):
        if focus.missing and focus.only_tells and (there.get(focus.missing) or heard.tells(focus)):
            there[focus.missing] = True  # which spares the search
            continue
        if focus.unless and search(focus.unless, conditions, worded=True):
            continue
        met = search(focus.text or understood.text, (*conditions, *focus.conditions), worded=focus.worded)
        few = focus.only_tells and focus.worded and len(met) <= room
        room -= len(met) if few else 0
        lists.append(Ranked(1.0 if few else focus.weight, met))  # a fusion by score makes little of a list of one
        for candidate in met if focus.leads else ():
            leading[candidate.passage.id].append(number - LEVEL * focus.leads)
        if focus.missing:
            there[focus.missing] = there.get(focus.missing, False) or bool(met)
    merged = fuse_by_rank(lists, settings.rrf_k) if understood.focuses else found
    chosen = choose(merged, settings, leading)
    missing = [told for told, met in there.items() if not met]
    return FirstStage(chosen, dict(leading), given_up, _told(missing, understood, Heard(chosen)))


def _told(missing: Sequence[str], understood: Understood, heard: "Heard") -> tuple[str, ...]:
    """What is not there, unless what was found has a word much like it, which may well be meant.

    What is told of single words `among` many passages is not, beside what is told outright.
    """
    meant = {
        f.missing for f in understood.focuses if f.worded and f.missing in missing and heard.has_alike(f.text or "")
    }
    among = {f.missing for f in understood.focuses if f.among}
    lacking = [told for told in missing if told not in meant]
    return tuple([told for told in lacking if told not in among] or lacking)


class Heard:
    """The words of what was found."""

    def __init__(self, found: Sequence[Candidate]) -> None:
        self._found = found

    def tells(self, focus: Focus) -> bool:
        """Whether it has one of the focus's words; of stop words alone nobody can tell."""
        if focus.conditions or not (focus.worded and focus.text):
            return False
        words = [word for word in WORD.findall(focus.text.casefold()) if embed_sparse_query(word).indices]
        return not words or not self._words.isdisjoint(words)

    def has_alike(self, text: str) -> bool:
        """Whether one of the words is written otherwise, with a letter wrong or as two words; or is in a title."""
        words = letters(text)
        if not self._run_together.isdisjoint(words):
            return True
        told = any(is_alike(word, other) for word in words for other in self._titles)
        return told or any(_is_mistake(word, other) for word in words for other in self._letters)

    @cached_property
    def _words(self) -> set[str]:
        return {word for c in self._found for word in WORD.findall(c.passage.reading.casefold())}

    @cached_property
    def _titles(self) -> set[str]:
        return {word for c in self._found for word in letters(f"{c.passage.title} {humps(c.passage.title)}")}

    @cached_property
    def _texts(self) -> list[list[str]]:
        read = [f"{c.passage.title} {c.passage.reading}"[:LOOKED_AT] for c in self._found]
        return [letters(text) for one in read for text in (one, humps(one))]

    @cached_property
    def _letters(self) -> set[str]:
        return {*chain(*self._texts)}

    @cached_property
    def _run_together(self) -> set[str]:
        return {f"{one}{other}" for words in self._texts for one, other in pairwise(words)}


def letters(text: str) -> list[str]:
    """Words without figures and accents, in small letters."""
    return re.findall(r"[^\W\d_]+", without_accents(text).casefold())


def _is_mistake(word: str, other: str) -> bool:
    """Another form of it would have been found."""
    return is_alike(word, other) and embed_sparse_query(word) != embed_sparse_query(other)


def fuse_by_rank(lists: Sequence[Ranked], rrf_k: int) -> list[Candidate]:
    """Reciprocal Rank Fusion (Cormack et al. 2009) of weighted lists, in any order."""
    scores: defaultdict[str, float] = defaultdict(float)
    passages = {c.passage.id: c.passage for ranked in lists for c in ranked.candidates}
    for weight, candidates in lists:
        for passage_id, share in by_rank({c.passage.id: c.score for c in candidates}, rrf_k).items():
            scores[passage_id] += weight * share
    return [Candidate(passage=passages[i], score=score) for i, score in scores.items()]


def choose(
    found: Sequence[Candidate], settings: RetrievalSettings, leading: Leading = NOTHING_LEADS
) -> list[Candidate]:
    """The `top_k` to read; where one a document is kept, few enough of each that `top_n` documents can be among them.

    Scores tie (RRF's often), and engines order ties as they like: here the same query gives the same order.
    """
    room = settings.top_k // settings.top_n if settings.one_per_document else settings.top_k
    taken: Counter[str] = Counter()
    chosen: list[Candidate] = []
    best = sorted(found, key=_best_first)
    for index in in_turns([c.passage for c in best], leading, settings.balance):
        candidate = best[index]
        kept = kept_once(candidate.passage, settings)
        taken[kept] += 1
        if taken[kept] <= room:
            chosen.append(candidate)
    return chosen[: settings.top_k]


def kept_once(passage: Passage, settings: RetrievalSettings) -> str:
    """Of what only the best is kept, where one a document is: what the passage has in `one_per`, else the document."""
    value = passage.metadata.get(settings.one_per) if settings.one_per else None
    return passage.document_id if value is None else str(value)


def worded_settings(settings: RetrievalSettings, query: EncodedQuery, *, worded: bool) -> RetrievalSettings | None:
    """Where all that is found must share a word with the query, by words alone; None where it has none to share."""
    if not worded:
        return settings
    return settings.model_copy(update={"first_stage": "bm25"}) if query.sparse.indices else None


def in_turns(ordered: Sequence[Passage], leading: Leading, balance: str | None = None) -> list[int]:
    """The order of places in which what leads comes before all else: what leads by most, then each focus in its turn.

    First the best passage of each focus, then the second ones. Of one focus, the best of each value of the field
    `balance` comes before the second one of any.
    """
    due: dict[int, tuple[int, int, int]] = {}
    for focus in sorted({number for found in leading.values() for number in found}):
        own = [place for place, passage in enumerate(ordered) if focus in leading.get(passage.id, ())]
        for turn, place in enumerate(_balanced(own, ordered, balance)):
            turns = (focus // LEVEL, turn, focus)
            due[place] = min(due.get(place, turns), turns)
    return [*sorted(due, key=lambda place: due[place]), *(place for place in range(len(ordered)) if place not in due)]


def _balanced(places: Sequence[int], ordered: Sequence[Passage], balance: str | None) -> Sequence[int]:
    if balance is None:
        return places
    seen: Counter[object] = Counter()
    rounds: dict[int, int] = {}
    for place in places:
        value = str(ordered[place].metadata.get(balance))
        rounds[place] = seen[value]
        seen[value] += 1
    return sorted(places, key=lambda place: rounds[place])


def deepened(settings: RetrievalSettings) -> RetrievalSettings:
    """More passages from the store where many of one document may have to go."""
    if not settings.one_per_document:
        return settings
    return settings.model_copy(update={"top_k": settings.top_k * GROUPING_DEPTH})


def _best_first(candidate: Candidate) -> tuple[float, str]:
    return -candidate.score, candidate.passage.id

"""The first stage over one index with other weights of BM25 and another fusion than it was made with.

Terms are counted once; scores of other weights are then computed in memory, as the engine computes them, but that
what is rare is counted in the whole collection, under `as_of` too.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from overfetch.bm25 import Bm25, StopWords
from overfetch.filters import Condition
from overfetch.first_stage import StoreSearch, deepened
from overfetch.fusion import fuse
from overfetch.settings import FirstStage, RetrievalSettings
from overfetch.sparse import count_terms, embed_sparse_query
from overfetch.types import Candidate, Passage

POOL = 1_000  # passages that have words of a query, the best by the weights of the index: others are not weighed anew

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


class Terms(NamedTuple):
    """What a collection's passages hold of the terms that are asked for, with one list of stop words or without.

    `lengths` are in terms, by `rows` of passage ids; `having` says by term in which rows it is and how often.
    """

    rows: Mapping[str, int]
    lengths: Floats
    having: Mapping[int, tuple[Places, Floats]]

    @property
    def average_length(self) -> float:
        return float(self.lengths.mean())

    def matching(self, terms: Sequence[int], passages: Sequence[str]) -> "Matching":
        """Of those terms that any passage has."""
        rows = np.array([self.rows[passage] for passage in passages], dtype=np.int64)
        known = [self.having[term] for term in terms if term in self.having]
        counts = np.zeros((len(known), len(self.lengths)))
        for row, (places, times) in zip(counts, known, strict=True):
            row[places] = times
        frequency = np.array([len(places) for places, _ in known])
        rarity = np.log1p((len(self.lengths) - frequency + 0.5) / (frequency + 0.5))
        return Matching(rarity, counts[:, rows], self.lengths[rows])


class Matching(NamedTuple):
    """A query and some passages: how rare each term is in the collection (idf, as the engine has it), [terms]; how
    often each is in a passage, [terms, passages]; and how long these are, [passages].
    """

    rarity: Floats
    counts: Floats
    lengths: Floats

    def weigh(self, bm25: Bm25) -> Floats:
        """Scores, [passages]."""
        relative = 1 - bm25.b + bm25.b * self.lengths / bm25.average_length
        scores: Floats = self.rarity @ (self.counts * (bm25.k1 + 1) / (self.counts + bm25.k1 * relative))
        return scores


def count(passages: Iterable[Passage], texts: Iterable[str]) -> dict[StopWords, Terms]:
    """The terms of all these texts, counted in all passages."""
    readings: tuple[StopWords, ...] = ("english", "none")
    asked = list(texts)
    found = {reading: _Counting({term for text in asked for term in _terms(text, reading)}) for reading in readings}
    for passage in passages:
        for reading, counting in found.items():
            counting.add(passage, reading)
    return {reading: counting.done() for reading, counting in found.items()}


class _Counting:
    """With one list of stop words: of a common term, many places."""

    def __init__(self, asked: set[int]) -> None:
        self.asked = asked
        self.rows: dict[str, int] = {}
        self.lengths: list[int] = []
        self.having: defaultdict[int, tuple[array[int], array[int]]] = defaultdict(lambda: (array("I"), array("I")))

    def add(self, passage: Passage, reading: StopWords) -> None:
        row = self.rows[passage.id] = len(self.rows)
        terms, counts = count_terms(passage.reading, reading)
        self.lengths.append(sum(counts))
        for term, times in zip(terms, counts, strict=True):
            if term in self.asked:
                places, counted = self.having[term]
                places.append(row)
                counted.append(times)

    def done(self) -> Terms:
        having = {
            term: (np.array(places, dtype=np.int64), np.array(counted, dtype=np.float64))
            for term, (places, counted) in self.having.items()
        }
        return Terms(self.rows, np.array(self.lengths, dtype=np.float64), having)


class Lists(NamedTuple):
    """Of one text within conditions: the scores of the dense list, and passages that have words of the text."""

    dense: dict[str, float]
    pool: list[str]
    matching: dict[StopWords, Matching]

    def weigh(self, bm25: Bm25) -> dict[str, float]:
        scores = self.matching[bm25.stop_words].weigh(bm25).tolist()
        return {passage: score for passage, score in zip(self.pool, scores, strict=True) if score > 0}


class Reweighed:
    """A `first_stage.Search` of one query, with whatever `bm25` and `settings` are set; the store is asked once."""

    def __init__(self, dense: StoreSearch, words: StoreSearch, terms: Mapping[StopWords, Terms]) -> None:
        self.dense = dense
        self.words = words
        self.terms = terms
        self.bm25 = Bm25()
        self.settings = RetrievalSettings()
        self._asked: dict[tuple[str, tuple[Condition, ...], bool], Lists] = {}
        self._passages: dict[str, Passage] = {}

    def __call__(self, text: str, conditions: Sequence[Condition], *, worded: bool = False) -> Sequence[Candidate]:
        settings = deepened(self.settings)
        first_stage = "bm25" if worded else settings.first_stage
        lists = self._lists(text, tuple(conditions), worded=worded)
        best = _best(self._scores(lists, settings, first_stage), settings.top_k)
        return [Candidate(passage=self._passages[passage], score=score) for passage, score in best.items()]

    def _scores(self, lists: Lists, settings: RetrievalSettings, first_stage: FirstStage) -> Mapping[str, float]:
        if first_stage == "dense":
            return lists.dense
        if first_stage == "bm25":
            return lists.weigh(self.bm25)
        depth = settings.top_k * settings.prefetch
        return fuse([_best(lists.dense, depth), _best(lists.weigh(self.bm25), depth)], settings)

    def _lists(self, text: str, conditions: tuple[Condition, ...], *, worded: bool) -> Lists:
        if (text, conditions, worded) not in self._asked:
            near = () if worded else self.dense(text, conditions)
            having = self.words(text, conditions, worded=True)
            self._passages |= {c.passage.id: c.passage for c in (*near, *having)}
            pool = [c.passage.id for c in having]
            matching = {r: terms.matching(_terms(text, r), pool) for r, terms in self.terms.items()}
            self._asked[text, conditions, worded] = Lists({c.passage.id: c.score for c in near}, pool, matching)
        return self._asked[text, conditions, worded]


def _terms(text: str, stop_words: StopWords) -> list[int]:
    return embed_sparse_query(text, Bm25(stop_words=stop_words).tokenizer).indices


def _best(scores: Mapping[str, float], depth: int) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:depth])

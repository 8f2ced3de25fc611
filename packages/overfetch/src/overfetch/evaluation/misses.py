"""Why was it missed? Each relevant document that is not shown is put to the stage that lost it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Unpack

from overfetch.contents import find_passages, unknown_documents
from overfetch.engine import Engine
from overfetch.evaluation.evaluating import documents, search_judged
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, JudgedQuery
from overfetch.settings import SettingsOptions
from overfetch.types import Frozen, Passage, Reading, RerankStatus, Retrieval

SHOWN = 5
DEEP = 1_000  # as far as a list is looked through: farther away it is not found
NEAR_COPY, COMPARED = 0.8, 50  # of the words that two passages have; passages of a missed document
UNREAD: tuple[RerankStatus, ...] = ("off", "skipped", "failed")

Stage = Literal[
    "not indexed",
    "hidden by what was understood",
    "in neither list",
    "cut by fusion",
    "below the candidates",
    "a near copy won",
    "reranked below",
    "never above",
    "not reranked",
]
ADVICE: dict[Stage, str] = {
    "not indexed": "the judgements name documents that this collection does not hold: index them, or correct the ids",
    "hidden by what was understood": "a condition read into the question keeps it out: see `understand`, or --literal",
    "in neither list": "it shares neither words nor meaning with the question: other names in its chunks, or a focus",
    "cut by fusion": "one list has it among its candidates, the fused ones do not: fusion, prefetch, or a larger top_k",
    "below the candidates": "both lists have it too far down: a larger top_k finds it, a better chunk puts it higher",
    "a near copy won": "what is shown says the same: judge it too, or index one of them",
    "reranked below": "the first stage shows it, the second stage puts others above: order_weight, or --no-rerank",
    "never above": "both stages know it and prefer others: tune the reranker on such questions",
    "not reranked": "the first stage has it farther down, nothing read it again: rerank, or a better chunk lifts it",
}


class Miss(Frozen):
    """A relevant document that was not among the first SHOWN, its passage, and the one that stood first in its place.

    `rank` is its final place among the candidates, `dense` and `bm25` its places in these lists; None where not found.
    """

    query_id: str
    query: str
    document: str
    stage: Stage
    rank: int | None
    first_stage_rank: int | None
    dense: int | None
    bm25: int | None
    passage: str
    first: str
    understood: Reading | None


class Misses(Frozen):
    """All misses of a collection's judged queries; `gain` is the share of what is relevant that
    a stage lost, a mean over the queries: what recall gained if it lost nothing."""

    collection: str
    queries: int
    relevant: int
    found: int
    stages: dict[Stage, int]
    gain: dict[Stage, float]
    misses: tuple[Miss, ...]


def explain_misses(
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    *,
    literal: bool = False,
    progress: Progress = lambda done, total: None,
    **settings: Unpack[SettingsOptions],
) -> Misses:
    """Searches each judged query once, and once more by each list where something was missed."""
    relevant = {query.id: _relevant(judged, query) for query in judged.queries}
    every = sorted({document for documents in relevant.values() for document in documents})
    search = Searching(
        engine, collection, settings, set(unknown_documents(engine.store, engine.name_of(collection), every)), literal
    )
    misses: list[Miss] = []
    for done, query in enumerate(judged.queries, start=1):
        misses += search.misses(query, relevant[query.id])
        progress(done, len(judged.queries))
    count = sum(map(len, relevant.values()))
    return Misses(
        collection=engine.name_of(collection),
        queries=len(judged.queries),
        relevant=count,
        found=count - len(misses),
        stages=dict(Counter(miss.stage for miss in misses).most_common()),
        gain=_gains(misses, relevant),
        misses=tuple(misses),
    )


class Lists(NamedTuple):
    """Document ids as each stage ranks them for a query; `literal` without what was understood, where anything was."""

    final: list[str]
    first_stage: list[str]
    dense: list[str]
    bm25: list[str]
    literal: list[str]


class Searching(NamedTuple):
    """One collection and how it is searched; `unknown` documents are not in it; `literal`, nothing is understood."""

    engine: Engine
    collection: str
    settings: SettingsOptions
    unknown: set[str]
    literal: bool

    def misses(self, query: JudgedQuery, relevant: Sequence[str]) -> list[Miss]:
        retrieval = search_judged(self.engine, self.collection, query, literal=self.literal, **self.settings)
        missed = [document for document in relevant if document not in documents(retrieval.candidates)[:SHOWN]]
        if not missed:
            return []
        lists = self._lists(query, retrieval)
        return [self._miss(document, query, retrieval, lists) for document in missed]

    def _lists(self, query: JudgedQuery, retrieval: Retrieval) -> Lists:
        by_first_stage = sorted(retrieval.candidates, key=lambda hit: hit.first_stage_rank)
        plain = self._first_stage(query, literal=True) if retrieval.understood else []
        return Lists(
            documents(retrieval.candidates),
            documents(by_first_stage),
            self._first_stage(query, first_stage="dense", top_k=DEEP, top_n=DEEP),
            self._first_stage(query, first_stage="bm25", top_k=DEEP, top_n=DEEP),
            plain,
        )

    def _first_stage(
        self, query: JudgedQuery, *, literal: bool = False, **changes: Unpack[SettingsOptions]
    ) -> list[str]:
        settings: SettingsOptions = {**self.settings, "rerank": False, **changes}
        literal = literal or self.literal
        return documents(search_judged(self.engine, self.collection, query, literal=literal, **settings).candidates)

    def _miss(self, document: str, query: JudgedQuery, retrieval: Retrieval, lists: Lists) -> Miss:
        known = document not in self.unknown
        own = find_passages(self.engine.store, self.engine.name_of(self.collection), document) if known else []
        shown = [hit.passage for hit in retrieval.candidates[:SHOWN]]
        return Miss(
            query_id=query.id,
            query=query.text,
            document=document,
            stage=self._stage(document, lists, own, shown, retrieval.rerank_status),
            rank=_place(document, lists.final),
            first_stage_rank=_place(document, lists.first_stage),
            dense=_place(document, lists.dense),
            bm25=_place(document, lists.bm25),
            passage=own[0].reading if own else "",
            first=shown[0].reading if shown else "",
            understood=retrieval.understood,
        )

    def _stage(
        self, document: str, lists: Lists, own: Sequence[Passage], shown: Sequence[Passage], status: RerankStatus
    ) -> Stage:
        if document in self.unknown:
            return "not indexed"
        if any(_alike(one.text, other.text) for one in own[:COMPARED] for other in shown):
            return "a near copy won"
        if document in lists.final:
            if status in UNREAD:
                return "not reranked"
            return "reranked below" if document in lists.first_stage[:SHOWN] else "never above"
        if document in lists.literal:
            return "hidden by what was understood"
        places = [place for ranked in (lists.dense, lists.bm25) if (place := _place(document, ranked))]
        if not places:
            return "in neither list"
        top_k = self.settings.get("top_k") or self.engine.site.collection(self.collection).retrieval.top_k
        return "cut by fusion" if min(places) <= top_k else "below the candidates"


def _relevant(judged: JudgedQueries, query: JudgedQuery) -> list[str]:
    return [document for document, grade in judged.qrels[query.id].items() if grade > 0]


def _place(document: str, ranked: Sequence[str]) -> int | None:
    return ranked.index(document) + 1 if document in ranked else None


def _alike(one: str, other: str) -> bool:
    """Nearly the same words (their Jaccard similarity)."""
    first, second = set(one.lower().split()), set(other.lower().split())
    return len(first & second) >= NEAR_COPY * max(1, len(first | second))


def _gains(misses: Sequence[Miss], relevant: Mapping[str, Sequence[str]]) -> dict[Stage, float]:
    gains: defaultdict[Stage, float] = defaultdict(float)
    for miss in misses:
        gains[miss.stage] += 1 / len(relevant[miss.query_id]) / len(relevant)
    return dict(gains)

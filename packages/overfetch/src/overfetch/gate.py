"""The gate of the write path: a new generation finds what the live one finds, or it is not published."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from overfetch.errors import ProvenanceMismatch, RecallLoss, StoreError
from overfetch.filters import Condition, KnownBy, parse_date
from overfetch.first_stage import deepened, search_understood, worded_settings
from overfetch.judged import JudgedQueries, JudgedQuery, date_bounds, read_judged_queries
from overfetch.protocols import Embedder, EncodedQuery, Store, Writer
from overfetch.provenance import SAMPLE, Provenance, Recall, RecallChange, require_searchable
from overfetch.requests import SearchRequest
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection
from overfetch.sparse import embed_sparse_query
from overfetch.types import Candidate, Passage
from overfetch.understanding import Understood

Search = Callable[[EncodedQuery, Sequence[Condition], RetrievalSettings], list[Candidate]]

ROUNDING = 1e-9
ENOUGH = 0.5  # of the judged documents: fewer are there by chance, under the same ids


class Gate:
    """Recall of the first stage on a collection's judged queries, before and after."""

    def __init__(self, name: str, collection: Collection, embedder: Embedder, *, accept_loss: bool = False) -> None:
        self.name = name
        self.collection = collection
        self.embedder = embedder
        self.accept_loss = accept_loss

    def __call__(self, store: Store, writer: Writer, provenance: Provenance) -> RecallChange | None:
        """Measures what was written, and stores it with the generation; None where nothing is judged.

        Raises RecallLoss where the live generation finds more, unless `accept_loss`, or the change went in place.
        """
        if self.collection.judged is None:
            return None
        judged = read_judged_queries(self.collection.judged)
        if not self._concern(judged, store, writer, provenance):
            return None
        after = self._measure(judged, writer.search, provenance.sparse_tokenizer)
        before = self._before(judged, store, provenance, measure=not writer.in_place)
        if after.value == 0 and (before is None or before.value == 0):
            return None  # judged on another corpus
        writer.recall = after
        if before and after.value < before.value - ROUNDING and not (self.accept_loss or writer.in_place):
            raise self._loss(before, after)
        found = before.value if before else None
        return RecallChange(before=found, after=after.value, top_k=after.top_k, queries=after.queries)

    def _before(self, judged: JudgedQueries, store: Store, provenance: Provenance, *, measure: bool) -> Recall | None:
        """What the live generation finds, as it was stored with it or can be measured; not the sample's, for others."""
        try:
            live = store.provenance(self.name)
        except StoreError:  # missing, of another version, damaged
            return None
        if live.source == SAMPLE != provenance.source:
            return None
        if live.recall and live.recall.judgements == self._key(judged):
            return live.recall
        try:
            require_searchable(self.name, live, provenance)
        except ProvenanceMismatch:
            return None
        return self._measure(judged, self._live(store), live.sparse_tokenizer) if measure else None

    def _concern(self, judged: JudgedQueries, store: Store, writer: Writer, provenance: Provenance) -> bool:
        """Whether they are about this corpus: the sample, one judged by them before, or one that holds what they name.

        A site brings them along for its sample; of other data they would tell that nothing is found.
        """
        if provenance.source == SAMPLE:
            return True
        with contextlib.suppress(StoreError):
            live = store.provenance(self.name)
            if live.source != SAMPLE and live.recall and live.recall.judgements == self._key(judged):
                return True
        held = writer.hashes()
        named = {d for grades in judged.qrels.values() for d, grade in grades.items() if grade > 0}
        return sum(Passage.id_of(d, 0) in held for d in named) >= ENOUGH * len(named)

    def _live(self, store: Store) -> Search:
        return lambda query, conditions, settings: store.search(self.name, query, conditions, settings).candidates

    def _measure(self, judged: JudgedQueries, search: Search, tokenizer: str) -> Recall:
        settings = self.collection.retrieval
        understood = [self._understood(query) for query in judged.queries]
        texts = list(dict.fromkeys(text for one in understood for text in one.embedded))
        vectors = dict(zip(texts, self.embedder.embed_queries(texts), strict=True))

        def find(query: JudgedQuery, one: Understood) -> list[Candidate]:
            bounds = list(_conditions(self.collection, query))

            def listed(text: str, conditions: Sequence[Condition], *, worded: bool = False) -> list[Candidate]:
                vector = vectors[texts[0] if worded else text]  # words alone need none
                encoded = EncodedQuery(vector, embed_sparse_query(text, tokenizer))
                deep = worded_settings(deepened(settings), encoded, worded=worded)
                return search(encoded, [*bounds, *conditions], deep) if deep else []

            return search_understood(one, listed, settings).candidates

        found = [find(query, one) for query, one in zip(judged.queries, understood, strict=True)]
        shares = [_share(judged.qrels[q.id], hits) for q, hits in zip(judged.queries, found, strict=True)]
        return Recall(
            value=fmean(share for share in shares if share is not None),
            top_k=settings.top_k,
            queries=len(judged.queries),
            judgements=self._key(judged),
        )

    def _understood(self, query: JudgedQuery) -> Understood:
        as_of = query.as_of if self.collection.known_at else None
        return SearchRequest.of(query.text, as_of=as_of).understood(self.collection)

    def _key(self, judged: JudgedQueries) -> str:
        settings = self.collection.retrieval.model_dump_json(
            exclude={"deadline_ms", "order_weight", "read_tokens", "rerank", "rerank_lm"}
        )
        return hashlib.sha256((judged.said() + settings).encode()).hexdigest()[:16]

    def _loss(self, before: Recall, after: Recall) -> RecallLoss:
        return RecallLoss(
            f"{self.name}: the new generation finds {after.value:.3f} of the judged documents among the first "
            f"{after.top_k}, the live one {before.value:.3f} ({after.queries} queries). Nothing was swapped. Run it "
            f"again with --accept-loss to publish what was built, or remove that: overfetch prune {self.name} --keep 2"
        )


def _conditions(collection: Collection, query: JudgedQuery) -> Iterator[Condition]:
    yield from date_bounds(collection.date, query)
    if query.as_of and collection.known_at:
        yield KnownBy(field=collection.known_at, end=parse_date(query.as_of, end_of_day=True))


def _share(grades: dict[str, int], hits: Sequence[Candidate]) -> float | None:
    """Recall of one query; None where no document is relevant."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant & {hit.passage.document_id for hit in hits}) / len(relevant) if relevant else None

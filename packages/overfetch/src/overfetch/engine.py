"""One site, opened: search, ask and index over live models and a live store. Safe to share between threads."""

import contextlib
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from overfetch import indexing
from overfetch.answering import AnswerFunction, Answering, LanguageModel, load_answer_function
from overfetch.conversation import KEPT_TURNS, standalone
from overfetch.errors import AnswerError, CollectionMissing, SettingsError
from overfetch.filters import Condition, DateRange, parse_condition, parse_date, require_filterable
from overfetch.gate import Gate
from overfetch.indexing import IndexReport, Progress
from overfetch.leaving import in_thread
from overfetch.partitions import Partition
from overfetch.pipeline import retrieve
from overfetch.protocols import Embedder, Reranker, Store
from overfetch.provenance import FIRST_STAGE_FIELDS, SAMPLE, Provenance, join_sources, require_match
from overfetch.sites import Collection, Part, Site
from overfetch.types import Answer, AsOf, OnRefused, Retrieval, Turn


class Engine:
    """A site with its embedder, reranker and store; made by `overfetch.open_site`."""

    def __init__(
        self,
        site: Site,
        *,
        embedder: Embedder,
        reranker: Reranker,
        store: Store,
        lm: LanguageModel | None = None,
        tuned: Mapping[str, Reranker] | None = None,
        on_refused: OnRefused = "flag",
    ) -> None:
        self.site = site
        self.embedder = embedder
        self.reranker = reranker
        self.store = store
        self.lm = lm
        self.tuned = dict(tuned or {})
        self.on_refused = on_refused

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.store.close()

    def warm_up(self) -> None:
        """Loads the models and runs them, so that the first request is not the slow one.

        Raises ProvenanceMismatch where other models made what is indexed: not the first request finds that out.
        """
        for collection in self.site.collections:
            with contextlib.suppress(CollectionMissing):
                name = self.name_of(collection.name)
                stored = self.store.provenance(name)
                require_match(name, stored, self._provenance(collection, stored.source), FIRST_STAGE_FIELDS)
            if self.lm is not None:
                with contextlib.suppress(AnswerError):  # said by the answers that it costs
                    self.answer_function(collection.name)
        self.embedder.warm_up()
        for reranker in {*map(self.reranker_of, (c.name for c in self.site.collections))}:
            reranker.warm_up()

    def reranker_of(self, collection: str) -> Reranker:
        """The one tuned for that collection, else the profile's."""
        return self.tuned.get(collection, self.reranker)

    def search(
        self,
        collection: str,
        query: str,
        *,
        where: Sequence[str | Condition] = (),
        as_of: str | None = None,
        near: str | None = None,
        **overrides: Any,
    ) -> Retrieval:
        """Both stages for one query; `overrides` are fields of RetrievalSettings, None meaning the site's own.

        `where` takes conditions or texts such as `sector=DeFi`; `as_of` hides what became known later; `near`
        keeps what happened within the collection's `near_days` of a date.
        """
        chosen = self.site.collection(collection)
        known = _known_by(chosen, as_of)
        retrieval = retrieve(
            query,
            self.name_of(collection),
            store=self.store,
            embedder=self.embedder,
            reranker=self.reranker_of(collection),
            expected=self._provenance(chosen, SAMPLE),
            settings=chosen.retrieval.override(**overrides),
            conditions=[*_typed(chosen, where), *_bounds(chosen, known, near)],
        )
        return retrieval.model_copy(update={"as_of": known})

    def ask(
        self, question: str, *, collection: str | None = None, history: Sequence[Turn | str] = (), **options: Any
    ) -> Answer:
        """A cited answer. `history` are the earlier turns of a chat, oldest first, or their questions.

        `options` are those of `search`, and `parts`: each (a card, a transit) is retrieved on its own.
        """
        name, turns = collection or self.site.ask, _as_turns(history)
        return self._answering(name).answer(question, self._retrieve(name, question, turns, **options), turns)

    def index(
        self,
        collection: str,
        *sources: Path,
        rebuild: bool = False,
        dry_run: bool = False,
        accept_loss: bool = False,
        partition: Partition | None = None,
        progress: Progress = lambda done, total: None,
    ) -> IndexReport:
        """Makes the collection equal to its sources (the sample corpus by default). See `overfetch.indexing.index`.

        A service may call it while it searches: the search index is built in another process. Raises RecallLoss where
        the site's judged queries find less than before, unless `accept_loss`.
        """
        chosen = self.site.collection(collection)
        return indexing.index(
            self.name_of(collection),
            chosen,
            lambda: chosen.read(*sources),
            store=self.store,
            embedder=self.embedder,
            provenance=self._provenance(chosen, join_sources(sources)),
            rebuild=rebuild,
            dry_run=dry_run,
            partition=partition,
            progress=progress,
            gate=Gate(self.name_of(collection), chosen, self.embedder, accept_loss=accept_loss),
        )

    def answer_function(self, collection: str) -> AnswerFunction:
        """What answers with a language model. Raises AnswerError."""
        return load_answer_function(self.site.collection(collection).answering)

    def is_indexed(self, collection: str) -> bool:
        try:
            self.store.provenance(self.name_of(collection))
        except CollectionMissing:
            return False
        return True

    def name_of(self, collection: str) -> str:
        """The collection's name in the store: `SITE/COLLECTION`."""
        return f"{self.site.name}/{self.site.collection(collection).name}"

    async def search_async(self, collection: str, query: str, **options: Any) -> Retrieval:
        """`search` in a worker thread: the event loop stays free. Cancelled, it stops before its next model run."""
        return await in_thread(self.search, collection, query, **options)

    async def ask_async(self, question: str, **options: Any) -> Answer:
        """`ask`: searching in a worker thread, as `search_async`; waiting for a language model takes none."""
        async for piece in self._pieces(question, whole=True, **options):
            if isinstance(piece, Answer):
                return piece
        raise AssertionError("an answer comes last")

    def ask_stream(self, question: str, **options: Any) -> AsyncGenerator[str | Answer, None]:
        """`ask_async`, with the text in pieces as it is written; the last one is the Answer, its citations checked.

        What the pieces say is unchecked: where it differs, the Answer counts.
        """
        return self._pieces(question, whole=False, **options)

    async def _pieces(
        self,
        question: str,
        *,
        whole: bool,
        collection: str | None = None,
        history: Sequence[Turn | str] = (),
        **options: Any,
    ) -> AsyncGenerator[str | Answer, None]:
        name, turns = collection or self.site.ask, _as_turns(history)
        retrievals = await in_thread(self._retrieve, name, question, turns, **options)
        async for piece in self._answering(name).stream(question, retrievals, turns, whole=whole):
            yield piece

    def _answering(self, collection: str) -> Answering:
        chosen = self.site.collection(collection)
        reranker = self.reranker_of(collection)
        return Answering(chosen.answering, reranker, self.lm, self.on_refused, chosen.quoted_hits)

    def _retrieve(
        self,
        collection: str,
        question: str,
        history: Sequence[Turn],
        *,
        parts: Sequence[str] = (),
        where: Sequence[str | Condition] = (),
        **options: Any,
    ) -> list[Retrieval]:
        chosen = self.site.collection(collection)
        if not question.strip():
            raise SettingsError(f"the question is empty (given {question!r}); write what to ask")
        wanted = [_parse_part(chosen, text, question) for text in parts] or [
            Part(query=standalone(question, history, chosen.answering, self.lm))
        ]
        return [self.search(collection, p.query, where=[*where, *p.conditions], **options) for p in wanted]

    def _provenance(self, collection: Collection, source: str) -> Provenance:
        return Provenance.of(self.embedder.spec, collection.chunker, source)


def _as_turns(history: Sequence[Turn | str]) -> tuple[Turn, ...]:
    return tuple(Turn(question=turn) if isinstance(turn, str) else turn for turn in history)[-KEPT_TURNS:]


def _typed(collection: Collection, where: Sequence[str | Condition]) -> list[Condition]:
    schema = collection.filters
    return [parse_condition(c, schema) if isinstance(c, str) else require_filterable(c, schema) for c in where]


def _known_by(collection: Collection, as_of: str | None) -> AsOf | None:
    if as_of is None:
        return None
    field = _date_field(collection, collection.known_at, "as_of", as_of)
    return AsOf(field=field, moment=parse_date(as_of, end_of_day=True))


def _bounds(collection: Collection, known: AsOf | None, near: str | None) -> Iterator[Condition]:
    if known is not None:
        yield DateRange(field=known.field, end=known.moment)
    if near is not None:
        field = _date_field(collection, collection.date, "near", near)
        yield _around(field, near, timedelta(days=collection.near_days))


def _around(field: str, near: str, days: timedelta) -> DateRange:
    first, last = parse_date(near), parse_date(near, end_of_day=True)
    try:
        return DateRange(field=field, start=first - days, end=last + days)
    except OverflowError as error:
        raise SettingsError(f"bad date {near!r}: nothing lies near the ends of the calendar") from error


def _date_field(collection: Collection, field: str | None, option: str, given: str) -> str:
    if field is None:
        raise SettingsError(f"collection {collection.name!r} has no such date: {option} ({given!r}) cannot be honoured")
    return field


def _parse_part(collection: Collection, text: str, question: str) -> Part:
    if collection.parse_part is None:
        raise SettingsError(f"collection {collection.name!r} takes no parts (given {text!r})")
    part = collection.parse_part(text)
    return part.model_copy(update={"query": f"{part.query}: {question}"})

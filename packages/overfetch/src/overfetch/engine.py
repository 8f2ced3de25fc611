"""One site, opened: search, ask and index over live models and a live store. Safe to share between threads."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from pathlib import Path
from typing import Self, Unpack

from overfetch import indexing
from overfetch.amending import AmendOptions, amend
from overfetch.answering import AnswerFunction, Answering, load_answer_function
from overfetch.conversation import KEPT_TURNS, standalone, standalone_async
from overfetch.corpus import Skipped, paths_of
from overfetch.errors import AnswerError, CollectionMissing, OverfetchError, SettingsError
from overfetch.gate import Gate
from overfetch.indexing import IndexReport, Progress
from overfetch.leaving import at_work, in_thread
from overfetch.partitions import Partition
from overfetch.pipeline import Around, Asked, retrieve_parts
from overfetch.protocols import Embedder, ListReranker, Reranker, Store
from overfetch.provenance import SAMPLE, Provenance, join_sources, require_searchable, split_sources
from overfetch.refusing import RefusalRules
from overfetch.requests import AskOptions, AskRequest, SearchOptions, SearchRequest
from overfetch.sites import Collection, Site
from overfetch.sources import Record
from overfetch.types import Answer, AnswerSoFar, Document, LanguageModel, OnRefused, Retrieval, Turn

AskEvent = tuple[Retrieval, ...] | str | AnswerSoFar | Answer


class Engine:
    """A site with its embedder, reranker and store; made by `overfetch.open_site`.

    `around` is what whoever watches puts around every retrieval.
    """

    def __init__(
        self,
        site: Site,
        *,
        embedder: Embedder,
        reranker: Reranker,
        store: Store,
        lm: LanguageModel | None = None,
        lister: ListReranker | None = None,
        rerankers: Mapping[str, Reranker] | None = None,
        refusals: Mapping[str, RefusalRules] | None = None,
        on_refused: OnRefused = "flag",
        close: Callable[[], object] | None = None,
    ) -> None:
        """`rerankers` are those of single collections; `close` is called in place of closing a store that is shared."""
        self.site = site
        self.embedder = embedder
        self.reranker = reranker
        self._store = store
        self.closed = False
        self.lm = lm
        self.lister = lister
        self.rerankers = dict(rerankers or {})
        self.refusals = dict(refusals or {})
        self.on_refused = on_refused
        self.around: Around | None = None
        self._close = close or store.close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.closed = True
        self._close()

    @property
    def store(self) -> Store:
        """Raises SettingsError once the engine is closed."""
        if self.closed:
            raise SettingsError(f"this engine is closed: open site {self.site.name!r} again, with open_site")
        return self._store

    def warm_up(self) -> None:
        """Loads the models and runs them, so that the first request is not the slow one.

        Raises ProvenanceMismatch where other models made what is indexed: not the first request finds that out.
        """
        for collection in self.site.collections:
            with suppress(CollectionMissing):
                name = self.name_of(collection.name)
                stored = self.store.provenance(name)
                require_searchable(name, stored, self._provenance(collection, stored.source))
            if self.lm is not None:
                with suppress(AnswerError):  # said by the answers that it costs
                    self.answer_function(collection.name)
        if self.lister is not None:
            with suppress(OverfetchError):  # said by the searches that it costs
                self.lister.warm_up()
        self.embedder.warm_up()
        for reranker in {*map(self.reranker_of, (c.name for c in self.site.collections))}:
            reranker.warm_up()

    def reranker_of(self, collection: str) -> Reranker:
        """The one tuned for that collection or with its own budget, else the profile's."""
        return self.rerankers.get(collection, self.reranker)

    def search(self, collection: str, query: str, **options: Unpack[SearchOptions]) -> Retrieval:
        """Both stages for one query. Raises SettingsError, SiteError, and what `overfetch.retrieve` raises."""
        return self.retrieve(collection, SearchRequest.of(query, **options))

    def retrieve(self, collection: str, request: SearchRequest, asked_at: float | None = None) -> Retrieval:
        """`search`, as a request; its deadline counts from `asked_at` (`time.monotonic()`), by default from now."""
        return self._retrieve(collection, [request], asked_at)[0]

    def _retrieve(
        self, collection: str, requests: Sequence[SearchRequest], asked_at: float | None = None
    ) -> list[Retrieval]:
        """One or more that differ in nothing but their query."""
        chosen, shared = self.site.collection(collection), requests[0]
        settings, name = chosen.retrieval.override(**shared.overrides), self.name_of(collection)

        def retrieve() -> list[Retrieval]:
            return retrieve_parts(
                [Asked(one.query, read := one.understood(chosen), one.reading(read)) for one in requests],
                name,
                store=self.store,
                embedder=self.embedder,
                reranker=self.reranker_of(collection),
                lister=self.lister,
                expected=self._provenance(chosen, SAMPLE),
                settings=settings,
                conditions=list(shared.conditions(chosen)),
                as_of=shared.known_by(chosen),
                include_candidates=shared.include_candidates or self.around is not None,
                asked_at=asked_at,
            )

        with at_work():
            if self.around is None:
                return retrieve()
            found = self.around(name, settings, retrieve)
        return found if shared.include_candidates else [one.model_copy(update={"candidates": ()}) for one in found]

    def ask(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """A cited answer. Raises as `search` does; a language model that fails costs the writing only."""
        return self.answer(AskRequest.of(question, **options))

    def answer(self, request: AskRequest) -> Answer:
        """`ask`, as a request."""
        began = time.monotonic()
        searched, asked_at = standalone(*self._leaning(request)), request.counted_from(began)
        retrievals = self._retrieve_parts(request, searched, asked_at)
        return self._answering(request, asked_at).answer(request.question, retrievals, request.history[-KEPT_TURNS:])

    def index(
        self,
        collection: str,
        *sources: str | Path,
        rebuild: bool = False,
        dry_run: bool = False,
        accept_loss: bool = False,
        partition: Partition | None = None,
        id_prefixes: Sequence[str] = (),
        skip_bad: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> IndexReport:
        """Makes the collection equal to its sources (the sample corpus by default). See `overfetch.indexing.index`.

        A service may call it while it searches: the search index is built in another process. Raises RecallLoss where
        the site's judged queries find less than before, unless `accept_loss`. `id_prefixes`, one for each source,
        stand before the ids of its documents; `skip_bad` leaves out what cannot be read, and the report says what.
        """
        chosen, skipped, paths = self.site.collection(collection), Skipped(bad=skip_bad), paths_of(sources)
        report = indexing.index(
            self.name_of(collection),
            chosen,
            lambda: chosen.read(*paths, id_prefixes=id_prefixes, skipped=skipped),
            store=self.store,
            embedder=self.embedder,
            provenance=self._provenance(chosen, join_sources(paths, id_prefixes, skip_bad=skip_bad)),
            rebuild=rebuild,
            dry_run=dry_run,
            partition=partition,
            progress=progress,
            gate=Gate(self.name_of(collection), chosen, self.embedder, accept_loss=accept_loss),
            skipped=skipped,
        )
        return report.model_copy(update={"skipped": skipped.reasons})

    def index_again(
        self, collection: str, *, accept_loss: bool = False, progress: Progress = lambda done, total: None
    ) -> IndexReport:
        """`index` from the sources that the collection has; from the sample where nothing is indexed."""
        source = self.store.provenance(self.name_of(collection)).source if self.is_indexed(collection) else SAMPLE
        paths, prefixes, skip_bad = split_sources(source)
        return self.index(
            collection, *paths, id_prefixes=prefixes, skip_bad=skip_bad, accept_loss=accept_loss, progress=progress
        )

    def put(self, collection: str, records: Sequence[Record], **options: Unpack[AmendOptions]) -> IndexReport:
        """Adds the documents of the records, or replaces those of the same ids; no other is touched.

        The collection keeps its sources, and the next `index` makes it equal to them: what is in none of them goes
        then. Raises CorpusError naming the record, and what `overfetch.amending.amend` raises.
        """
        documents = self.site.collection(collection).documents(records)
        return self._amend(collection, documents, [document.id for document in documents], options)

    def remove(self, collection: str, document_ids: Sequence[str], **options: Unpack[AmendOptions]) -> IndexReport:
        """Removes those of the documents that are there. The next `index` puts back what its sources hold."""
        return self._amend(collection, [], document_ids, options)

    def _amend(
        self, collection: str, documents: Sequence[Document], document_ids: Sequence[str], options: AmendOptions
    ) -> IndexReport:
        name, chosen = self.name_of(collection), self.site.collection(collection)
        return amend(name, chosen, documents, document_ids, store=self.store, embedder=self.embedder, **options)

    def answer_function(self, collection: str) -> AnswerFunction:
        """What answers with a language model. Raises AnswerError."""
        return load_answer_function(self.site.collection(collection).answering)

    def is_indexed(self, collection: str) -> bool:
        """Whether anything is published of it."""
        try:
            self.store.provenance(self.name_of(collection))
        except CollectionMissing:
            return False
        return True

    def name_of(self, collection: str) -> str:
        """The collection's name in the store: `SITE/COLLECTION`."""
        return f"{self.site.name}/{self.site.collection(collection).name}"

    async def search_async(self, collection: str, query: str, **options: Unpack[SearchOptions]) -> Retrieval:
        """`search` in a worker thread: the event loop stays free. Cancelled, it stops before its next model run."""
        return await in_thread(self.retrieve, collection, SearchRequest.of(query, **options), time.monotonic())

    async def ask_async(self, question: str, **options: Unpack[AskOptions]) -> Answer:
        """`ask`: searching in a worker thread, as `search_async`; waiting for a language model takes none."""
        async for piece in self.stream(AskRequest.of(question, **options), whole=True):
            if isinstance(piece, Answer):
                return piece
        raise AssertionError("an answer comes last")

    def ask_stream(self, question: str, **options: Unpack[AskOptions]) -> AsyncGenerator[str | Answer, None]:
        """`ask_async`, in pieces of the text as it is written, unchecked; the last one is the Answer, which counts."""
        return self.stream(AskRequest.of(question, **options))

    async def stream(self, request: AskRequest, *, whole: bool = False) -> AsyncGenerator[str | Answer, None]:
        """`ask_stream`, as a request; with `whole`, without the pieces."""
        async for event in self.events(request, whole=whole):
            if isinstance(event, str | Answer):
                yield event

    async def events(
        self,
        request: AskRequest,
        *,
        whole: bool = False,
        turn: Callable[[float], AbstractAsyncContextManager[None]] = lambda asked_at: nullcontext(),
    ) -> AsyncGenerator[AskEvent, None]:
        """`stream` with more to show: first what each part of the question found, and between the pieces of the text
        what is checked of it, each time a further sentence is complete. The search, asked at that time, takes a `turn`.
        """
        began = time.monotonic()
        searched, asked_at = await standalone_async(*self._leaning(request)), request.counted_from(began)
        async with turn(asked_at):
            retrievals = await in_thread(self._retrieve_parts, request, searched, asked_at)
        yield tuple(retrievals)
        answering, turns = self._answering(request, asked_at), request.history[-KEPT_TURNS:]
        async for piece in answering.stream(request.question, retrievals, turns, whole=whole):
            yield piece

    def _answering(self, request: AskRequest, asked_at: float) -> Answering:
        chosen = self._asked(request)
        settings, reranker = chosen.retrieval.override(**request.overrides), self.reranker_of(chosen.name)
        known = None if request.literal or request.parts else self.refusals.get(chosen.name)  # fitted on neither
        rules = known.under(settings) if known else []
        times = settings.deadline(asked_at), request.answer_by(asked_at)
        return Answering(chosen.answering, reranker, self.lm, self.on_refused, chosen.quoted_hits, rules, *times)

    def _asked(self, request: AskRequest) -> Collection:
        return self.site.collection(request.collection if request.collection is not None else self.site.ask)

    def _leaning(self, request: AskRequest) -> tuple[str, Sequence[Turn], str, LanguageModel | None]:
        """What `standalone` takes: parts lean on no turn before. Raises SettingsError."""
        request.require_words()
        turns, lm = () if request.parts else request.history[-KEPT_TURNS:], self.lm
        return request.question, turns, self._asked(request).answering, lm and lm.within(request.own_deadline_ms)

    def _retrieve_parts(self, request: AskRequest, searched: str, asked_at: float) -> list[Retrieval]:
        parts = [request.searching(part, request.question) for part in request.parts]
        return self._retrieve(self._asked(request).name, parts or [request.searching(searched)], asked_at)

    def _provenance(self, collection: Collection, source: str) -> Provenance:
        return Provenance.of(self.embedder.spec, collection.chunker, source, collection.filters, collection.bm25)

"""What the routes of an application share: the opened sites, who may ask, and how much is worked on at a time."""

import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from functools import partial
from typing import ParamSpec, TypeVar

from overfetch import Answer, Engine, Retrieval, SettingsError, Workspace, in_thread
from overfetch.engine import AskEvent
from overfetch.errors import StoreError
from overfetch.protocols import Generation
from overfetch.requests import AskRequest, SearchRequest
from overfetch.sites import Collection, Site
from overfetch_serve.errors import NotAuthenticated, NotFound, TooMany, unknown_site
from overfetch_serve.folders import require_own
from overfetch_serve.in_time import InTime
from overfetch_serve.jobs import Jobs
from overfetch_serve.keys import ANYBODY, Key, Keys
from overfetch_serve.paths import as_served, event_as_served
from overfetch_serve.rates import Rates, network_of
from overfetch_serve.readiness import KEYS, MODELS, Readiness
from overfetch_serve.seen import current
from overfetch_serve.settings import ServiceSettings
from overfetch_serve.turns import Turns, patience
from overfetch_serve.values import CountedValues
from overfetch_serve.vendors.catalogue import Catalogue
from overfetch_serve.watching import Watching

P = ParamSpec("P")
R = TypeVar("R")
Asked = TypeVar("Asked", SearchRequest, AskRequest)


class Service:
    """Sites over one workspace. Routes find it by `overfetch_serve.access.service_of`."""

    def __init__(self, sites: Sequence[Site], workspace: Workspace, settings: ServiceSettings) -> None:
        """Opens nothing and loads nothing: `warm_up` does."""
        self.workspace = workspace
        self.settings = settings
        self.keys = Keys(settings.keys) if settings.keys else None
        self.turns = Turns(settings.concurrency, settings.waiting)
        self.asks = Turns(settings.asking, 0)
        self.is_leaving = False
        self.rates = Rates(settings.state)
        self.jobs = Jobs(settings.state)
        self.values = CountedValues()
        self.watching = Watching(trace_content=settings.trace_content, log_queries=settings.log_queries)
        self._sites = {site.name: site for site in sites}
        self.catalogue = Catalogue(workspace, settings, [*self._sites])
        others: dict[str, Callable[[], object]] = {MODELS: self.catalogue.warm_up}
        if self.keys is not None:
            others[KEYS] = partial(self.keys.all, must_exist=True)
        self.readiness = Readiness([*self._sites], self.engine, others, settings.deadline_ms)
        self._engines: dict[str, Engine] = {}

    @property
    def sites(self) -> Mapping[str, Site]:
        return self._sites

    def key(self, given: str | None) -> Key:
        """Who asks. Raises NotAuthenticated."""
        return self.keys.find(given) if self.keys else ANYBODY

    def admit(self, given: str | None, address: str) -> Key:
        """Who asks, counted: by key, or by address where no key is known.

        Raises NotAuthenticated, KeysUnreadable and TooMany.
        """
        try:
            key = self.key(given)
        except NotAuthenticated:
            self._count(network_of(address), None)
            raise
        if (seen := current.get()) is not None:
            seen.key = key.id
        self._count(network_of(address) if key is ANYBODY else f"key {key.id}", key.requests_per_minute)
        return key

    def _count(self, who: str, own_limit: int | None) -> None:
        limit = own_limit or self.settings.requests_per_minute
        if limit is None:
            return
        try:
            self.rates.take(who, limit)
        except TooMany:
            if (seen := current.get()) is not None:
                seen.over_its_rate = True
            raise

    def engine(self, site: str) -> Engine:
        """Raises NotFound, and StoreError where what is indexed is not of this site, or what it is set to is wrong."""
        if site not in self._sites:
            raise unknown_site(site)
        if site not in self._engines:
            try:
                engine = self.workspace.site(self._sites[site])
                require_own(engine)
            except SettingsError as error:  # of who runs the service, not of who asks
                raise StoreError(str(error)) from error
            engine.around = self.watching.retrieving
            engine.reranker = InTime(engine.reranker)
            engine.rerankers = {name: InTime(reranker) for name, reranker in engine.rerankers.items()}
            self._engines[site] = engine
        return self._engines[site]

    def collection(self, site: str, collection: str) -> tuple[Engine, Collection]:
        """Raises NotFound naming the known collections."""
        engine = self.engine(site)
        try:
            return engine, engine.site.collection(collection)
        except SettingsError as error:
            raise NotFound(str(error)) from error

    def within(self, request: Asked, collection: Collection, deadline_ms: float | None = None) -> Asked:
        """The request with the time that it has: the smaller of its own and the header's, what the collection sets or
        the usual, and no more than the longest. Only the first two count as given (`AskRequest.own_deadline_ms`).
        """
        asked = [ms for ms in (request.deadline_ms, deadline_ms) if ms is not None]
        time_ms = self.milliseconds(min(asked, default=collection.retrieval.deadline_ms))
        named = request.model_fields_set - {"deadline_ms"} | ({"deadline_ms"} if asked else set())
        return request.model_construct(named, **{**dict(request), "deadline_ms": time_ms})

    def milliseconds(self, wanted: float | None) -> float:
        """What a request has: what it wants or the usual, and no more than the longest."""
        return min(wanted or self.settings.deadline_ms, self.settings.longest_deadline_ms)

    async def retrieve(self, engine: Engine, collection: str, request: SearchRequest) -> Retrieval:
        """`Engine.retrieve` in its turn; the wait for that counts as the request's time."""
        asked_at = time.monotonic()
        latest = self._patience(request, asked_at)
        return as_served(await self.work_by(latest, engine.retrieve, collection, request, asked_at))

    async def answer(self, engine: Engine, request: AskRequest) -> Answer:
        """`Engine.answer` in its turn, as `events`."""
        async with aclosing(self.events(engine, request, whole=True)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    return event
        raise AssertionError("an answer comes last")

    async def events(
        self, engine: Engine, request: AskRequest, *, whole: bool = False
    ) -> AsyncGenerator[AskEvent, None]:
        """`Engine.events`; its turn is the search's, since whoever waits for a language model holds up no one.

        Raises Busy.
        """

        def turn(asked_at: float) -> AbstractAsyncContextManager[None]:
            return self.turns.taken(self._patience(request, asked_at))

        answering = engine.events(request, whole=whole, turn=turn)
        async with self.asks.taken(), aclosing(answering) as events:
            async for event in events:
                yield event_as_served(event)

    def _patience(self, request: SearchRequest | AskRequest, asked_at: float) -> float:
        return patience(asked_at, self.milliseconds(request.deadline_ms))

    async def work(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """In a worker thread, when its turn comes. Raises Busy, and what the work raises."""
        return await self.work_by(None, work, *args, **kwargs)

    async def work_by(self, latest: float | None, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`work`, which begins by then (`time.monotonic()`), in its turn or not."""
        async with self.turns.taken(latest):
            return await in_thread(work, *args, **kwargs)

    def warm_up(self) -> None:
        """So that the first request is as fast as the hundredth; what fails is said by `readiness`."""
        self.readiness.check()

    def sample(self) -> None:
        self.watching.metrics.sample(self.turns.waiting, self.turns.working)

    def generations(self) -> dict[str, list[Generation]]:
        """Of each collection. Raises StoreError."""
        names = [f"{site.name}/{collection.name}" for site in self._sites.values() for collection in site.collections]
        return {name: self.workspace.store.generations(name) for name in names}

    def close(self) -> None:
        self.jobs.close()
        self.rates.close()
        self.workspace.close()

"""What the routes of an application share: the opened sites, who may ask, and how much is worked on at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar

from overfetch import Engine, Overloaded, Workspace, in_thread
from overfetch.requests import AskRequest, SearchRequest
from overfetch.sites import Collection, Site
from overfetch_serve.errors import NotFound
from overfetch_serve.keys import ANYBODY, Key, Keys
from overfetch_serve.settings import ServiceSettings
from overfetch_serve.vendors.catalogue import Catalogue

P = ParamSpec("P")
R = TypeVar("R")
Asked = TypeVar("Asked", SearchRequest, AskRequest)


class Turns:
    """How many requests are worked on at a time, and how many may wait for that."""

    def __init__(self, concurrency: int, waiting: int) -> None:
        self._places = asyncio.Semaphore(concurrency)
        self._most_waiting = waiting
        self.waiting = 0
        self.working = 0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Raises Overloaded where too many wait already."""
        if self._places.locked() and self.waiting >= self._most_waiting:
            raise Overloaded(f"{self.waiting} requests wait already; try again later")
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self._places.release()


class Service:
    """Sites over one workspace. Routes find it by `overfetch_serve.access.service_of`."""

    def __init__(self, sites: Sequence[Site], workspace: Workspace, settings: ServiceSettings) -> None:
        """Opens nothing and loads nothing: `warm_up` does."""
        self.workspace = workspace
        self.settings = settings
        self.keys = Keys(settings.keys) if settings.keys else None
        self.turns = Turns(settings.concurrency, settings.waiting)
        self.not_ready: str | None = "the models are not loaded yet"
        self._sites = {site.name: site for site in sites}
        self.catalogue = Catalogue(workspace, settings, [site.name for site in sites])
        self._engines: dict[str, Engine] = {}

    @property
    def sites(self) -> Mapping[str, Site]:
        return self._sites

    def key(self, given: str | None) -> Key:
        """Who asks. Raises NotAuthenticated."""
        return self.keys.find(given) if self.keys else ANYBODY

    def engine(self, site: str) -> Engine:
        """Raises NotFound."""
        if site not in self._sites:
            raise NotFound(f"no site {site!r} is served to this key")
        if site not in self._engines:
            self._engines[site] = self.workspace.site(self._sites[site])
        return self._engines[site]

    def collection(self, site: str, collection: str) -> tuple[Engine, Collection]:
        """Raises NotFound naming the known collections."""
        engine = self.engine(site)
        for known in engine.site.collections:
            if known.name == collection:
                return engine, known
        names = ", ".join(known.name for known in engine.site.collections)
        raise NotFound(f"site {site!r} has no collection {collection!r}; its collections: {names}")

    def within(self, request: Asked, deadline_ms: float | None) -> Asked:
        """The request with the time that it has: its own, the header's or the usual, and no more than the longest."""
        return request.model_copy(update={"deadline_ms": self.milliseconds(request.deadline_ms or deadline_ms)})

    def milliseconds(self, wanted: float | None) -> float:
        """What a request has: what it wants or the usual, and no more than the longest."""
        return min(wanted or self.settings.deadline_ms, self.settings.longest_deadline_ms)

    async def work(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """In a worker thread, when its turn comes. Raises Overloaded, and what the work raises."""
        async with self.turns.taken():
            return await in_thread(work, *args, **kwargs)

    def warm_up(self) -> None:
        """So that the first request is as fast as the hundredth. Raises what opening and loading raise."""
        for site in self._sites:
            self.engine(site)
        self.workspace.warm_up()
        self.catalogue.warm_up()
        self.not_ready = None

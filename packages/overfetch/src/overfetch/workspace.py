"""What the sites of a process share: one environment, one store, one model of each identity."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import ClassVar, Self
from weakref import WeakSet, WeakValueDictionary

from overfetch import backends
from overfetch.backends import LazyEmbedder, LazyReranker
from overfetch.engine import Engine
from overfetch.environment import Environment, RerankServer, read_environment
from overfetch.forking import ProcessLock
from overfetch.ladder import Ladder
from overfetch.models import ModelSpec, Profile, find_profile
from overfetch.protocols import Generation, Reranker, Store, Verified
from overfetch.refusing import RefusalRules
from overfetch.sites import Site, find_collection, find_collections, load_site, load_sites
from overfetch.tuned import model_folder, read_tuned, tuned_folder
from overfetch.types import Report


class Workspace:
    """Sites over one store and one set of models. Safe to share between threads.

    Nothing is opened or loaded before it is used.
    """

    def __init__(self, environment: Environment | None = None, *, report: Report = lambda message: None) -> None:
        """Raises SettingsError naming the variable that is not allowed."""
        self.environment = environment or read_environment()
        self.report = report
        self._embedders: dict[str, LazyEmbedder] = {}
        self._rerankers: dict[str, LazyReranker] = {}
        self._ladders: dict[Reranker, Ladder] = {}
        self._engines: WeakSet[Engine] = WeakSet()
        self._lister = backends.list_reranker(self.environment)
        self._store: Store | None = None
        self._lock = ProcessLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """Opened on first use. Raises SettingsError on a bad address."""
        with self._lock:
            if self._store is None:
                self._store = backends.open_store(self.environment)
            return self._store

    def site(self, site: Site | str, *, profile: str | None = None) -> Engine:
        """A site ready to search; closing it leaves the workspace open.

        Raises SettingsError (unknown site or profile, bad address) and StoreUnavailable.
        """
        return self._engine(site, profile, close=lambda: None)

    def _engine(self, site: Site | str, profile: str | None, close: Callable[[], object]) -> Engine:
        found = load_site(site) if isinstance(site, str) else site
        pair = self.environment.pair(profile)
        tuned = {c.name: self._tuned(f"{found.name}/{c.name}", pair) for c in found.collections}
        with self._lock:
            usual, budget = self.reranker(pair.reranker), self.environment.budget
            own = {c.name: (tuned[c.name] or usual).within(budget(c.retrieval.read_tokens)) for c in found.collections}
            engine = Engine(
                found,
                embedder=self.embedder(pair.embedder),
                reranker=self._laddered(usual),
                store=self.store,
                lm=self.environment.language_model,
                lister=self._lister,
                rerankers={name: self._laddered(reranker) for name, reranker in own.items() if reranker is not usual},
                refusals=self._refusals(found),
                on_refused=self.environment.on_refused,
                close=close,
            )
            self._engines.add(engine)
        return engine

    def embedder(self, spec: ModelSpec) -> LazyEmbedder:
        """The one of that identity."""
        with self._lock:
            load = partial(backends.load_embedder, spec, self.environment)
            return self._embedders.setdefault(spec.identity, LazyEmbedder(spec, load))

    def reranker(self, spec: ModelSpec) -> LazyReranker:
        """The one of that identity."""
        with self._lock:
            load = partial(backends.load_reranker, spec, self.environment)
            return self._rerankers.setdefault(spec.identity, LazyReranker(spec, load))

    def _laddered(self, usual: Reranker) -> Reranker:
        """With the faster model beside it, where there is one. Raises SettingsError on an unknown profile."""
        if self.environment.faster is None:
            return usual
        spec = find_profile(self.environment.faster).reranker.within(self.environment.rerank_tokens)
        here = self.environment.model_copy(update={"rerank": RerankServer()})
        load = partial(backends.load_reranker, spec, here)
        faster = self._rerankers.setdefault(spec.identity, LazyReranker(spec, load))
        return usual if faster is usual else self._ladders.setdefault(usual, Ladder(usual, faster))

    def status(self, target: str | None = None) -> dict[str, list[Generation]]:
        """The generations of each collection of `SITE` or `SITE/COLLECTION`, by default of every site that loads."""
        return {name: self.store.generations(name) for name in self._collections(target)}

    def _collections(self, target: str | None) -> list[str]:
        if target:
            return find_collections(target)
        sites, broken = load_sites()
        for error in broken.values():
            self.report(str(error))
        return [f"{site.name}/{collection.name}" for site in sites for collection in site.collections]

    def verify(self, target: str | None = None) -> dict[str, list[Verified]]:
        """Whether the generations of each collection are what was published: reads all of them."""
        return {name: self.store.verify(name) for name in self._collections(target)}

    def rollback(self, target: str) -> Generation:
        """Makes the previous generation of `SITE/COLLECTION` live; gives what is live now."""
        return self.store.rollback(find_collection(target))

    def prune(self, target: str, keep: int = 1) -> dict[str, list[Generation]]:
        """Removes all but the live generations and, with `keep` 2, the previous ones; gives what was removed."""
        return {name: self.store.prune(name, keep) for name in find_collections(target)}

    def warm_up(self) -> None:
        """Of every site opened: each model once."""
        for engine in [engine for engine in self._engines if not engine.closed]:
            engine.warm_up()

    def close(self) -> None:
        """Closes the store."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _refusals(self, site: Site) -> dict[str, RefusalRules]:
        """When its collections refuse to answer: by rules fitted here, else by those that the site brings along."""
        if not self.environment.refuse:
            return {}
        own = {c.name: self.environment.refusals_of(f"{site.name}/{c.name}") for c in site.collections}
        paths = {c.name: own[c.name] if own[c.name].exists() else c.refusals for c in site.collections}
        return {name: RefusalRules.read(path) for name, path in paths.items() if path}

    def _tuned(self, collection: str, pair: Profile) -> LazyReranker | None:
        """The reranker that `overfetch tune` installed for it, where it goes with the profile's models."""
        folder = tuned_folder(self.environment.tuned, collection)
        tuned = read_tuned(folder)
        if tuned is None:
            return None
        if not tuned.fits(pair):
            self.report(f"{collection}: its tuned reranker was made from {tuned.base}; this profile's own serves")
            return None
        with self._lock:
            load = partial(backends.load_tuned_reranker, model_folder(folder, tuned), tuned, self.environment)
            return self._rerankers.setdefault(tuned.spec.identity, LazyReranker(tuned.spec, load))


class SharedWorkspace(Workspace):
    """The one of its environment in this process: the last engine of `open_site` that is closed closes it."""

    _open: ClassVar[WeakValueDictionary[Environment, "SharedWorkspace"]] = WeakValueDictionary()
    _opening = ProcessLock()
    _users = 0

    @classmethod
    def of(cls, environment: Environment | None, report: Report = lambda message: None) -> "SharedWorkspace":
        """Raises SettingsError naming the variable that is not allowed."""
        chosen = environment or read_environment()
        with cls._opening:
            found = cls._open.get(chosen)
            if found is None:
                found = cls._open[chosen] = cls(chosen, report=report)
        return found

    def lease(self, site: Site | str, profile: str | None) -> Engine:
        """An engine of one user."""
        ending = ExitStack()  # runs once, however often an engine is closed
        with self._opening:
            engine = self._engine(site, profile, ending.close)
            self._users += 1
        ending.callback(self._release)
        return engine

    def _release(self) -> None:
        with self._opening:
            self._users -= 1
            if not self._users:
                self.close()


def open_site(
    site: Site | str,
    *,
    profile: str | None = None,
    environment: Environment | None = None,
    report: Report = lambda message: None,
) -> Engine:
    """A site ready to search; models load on first use. Sites of one environment share a Workspace.

    Raises SettingsError (unknown site or profile, bad address) and StoreUnavailable.
    """
    return SharedWorkspace.of(environment, report).lease(site, profile)


def open_reranker(profile: str | None = None, *, environment: Environment | None = None) -> Reranker:
    """A profile's cross-encoder alone, for passages from elsewhere: the one that sites use. Raises SettingsError."""
    workspace = SharedWorkspace.of(environment)
    spec = workspace.environment.pair(profile).reranker
    return LazyReranker(spec, lambda: workspace.reranker(spec).model)  # holds the workspace, which it belongs to

"""A site: its collections, how each is read, chunked and searched, and which module answers."""

import datetime
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from overfetch.bm25 import Bm25
from overfetch.corpus import FieldMap, Skipped, paths_of, read_documents, to_documents
from overfetch.errors import OverfetchError, SettingsError, SiteError
from overfetch.filters import FieldKind, require_filterable
from overfetch.settings import RetrievalSettings, shortened
from overfetch.sources import Record
from overfetch.types import Chunk, Document, Frozen
from overfetch.understanding import Understand, Understood, literally

ENTRY_POINT_GROUP = "overfetch.sites"
log = logging.getLogger(__name__)

FilterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$")]


class Collection(Frozen):
    """One searchable set of passages and every setting that decides how it behaves.

    `about` tells people and agents what it holds and when to ask it. `chunk` may take `tokens`, a passage's limit, for
    `overfetch ablate` to change. `chunker` is name and version: a change means a rebuild. `filters` are the fields that
    may be filtered on.
    `date` names the field that `near` looks at, within `near_days`; `known_at` the one that `as_of` bounds.
    `understand` reads a question, or one part of a composed one, as its users mean it.
    `answering` is the `module:function` that answers with a language model.
    `judged` is a folder of judged queries in BEIR layout: a new generation must not find less of what they ask for,
    and they are the default of `eval` and `compile`.
    `bm25` are the weights of the passages' terms: with others, `overfetch index` makes these anew and embeds nothing.
    `quoted_hits` is how many of the best hits an extractive answer quotes; `refusals` names the file of rules by which
    it says that nothing answers (`overfetch eval --fit-refusals`).
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    sample: Path
    chunk: Callable[[Document], Iterable[Chunk]]
    chunker: str
    answering: str
    fields: FieldMap
    about: str = ""
    retrieval: RetrievalSettings = Field(default_factory=RetrievalSettings)
    bm25: Bm25 = Field(default_factory=Bm25)
    filters: dict[FilterName, FieldKind] = Field(default_factory=dict)
    date: str | None = None
    near_days: int = Field(default=45, gt=0)
    known_at: str | None = None
    adapt: Callable[[Record], Record] | None = None
    understand: Understand = literally
    judged: Path | None = None
    quoted_hits: int = Field(default=3, gt=0)
    refusals: Path | None = None

    @model_validator(mode="after")
    def _dates_are_filters(self) -> "Collection":
        for field in (self.date, self.known_at):
            if field is not None and self.filters.get(field) != "date":
                raise ValueError(f"{field!r} is no date among the filters")
        return self

    def read(
        self, *sources: str | Path, id_prefixes: Sequence[str] = (), skipped: Skipped | None = None
    ) -> Iterator[Document]:
        """The documents of all sources, one at a time; by default of the sample corpus. Raises as read_documents."""
        return read_documents(
            paths_of(sources) or [self.sample],
            self.fields,
            filters=self.filters,
            adapt=self.adapt,
            id_prefixes=id_prefixes,
            skipped=skipped,
        )

    def documents(self, records: Iterable[Record]) -> list[Document]:
        """Of records in memory, read as those of a source are. Raises CorpusError naming the record."""
        return to_documents(records, self.fields, filters=self.filters, adapt=self.adapt)

    def understood(self, question: str, day: datetime.date) -> Understood:
        """What `understand` makes of it. Raises SiteError where that fails, or asks for what is not declared."""
        place = f"understand of collection {self.name!r}, on {shortened(question)}"
        try:
            read = self.understand(question, day)
        except OverfetchError:
            raise
        except Exception as error:  # whatever its code raises
            log.exception("understand of collection %r failed", self.name)
            raise SiteError(f"{place}: failed with {type(error).__name__}") from error
        if not isinstance(read, Understood):
            raise SiteError(f"{place}: gave {shortened(read)}, expected an Understood")
        try:
            for condition in read.asked:
                require_filterable(condition, self.filters)
        except SettingsError as error:
            raise SiteError(f"{place}: {error}") from error
        return read


class Site(Frozen):
    """One site: a name and its collections. `ask` names the collection that answers questions."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    title: str
    collections: tuple[Collection, ...]
    ask: str

    @model_validator(mode="after")
    def _collections_differ(self) -> "Site":
        names = [collection.name for collection in self.collections]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two collections are called {repeated[0]!r}: they would share what is stored")
        return self

    @model_validator(mode="after")
    def _ask_is_a_collection(self) -> "Site":
        self.collection(self.ask)
        return self

    def collection(self, name: str) -> Collection:
        """Raises SettingsError naming the known collections."""
        for collection in self.collections:
            if collection.name == name:
                return collection
        known = ", ".join(c.name for c in self.collections)
        raise SettingsError(f"site {self.name!r} has no collection {name!r}; its collections: {known}")


def site_names() -> list[str]:
    """Names of all installed sites."""
    from importlib.metadata import entry_points

    return sorted(entry_points(group=ENTRY_POINT_GROUP).names)


def load_site(name: str) -> Site:
    """The installed site of that name. Raises SettingsError naming the known sites, or why it cannot be loaded."""
    if name not in site_names():
        known = ", ".join(site_names()) or "none"
        raise SettingsError(f"unknown site {name!r}; installed sites: {known}")
    from importlib.metadata import entry_points

    try:
        site = entry_points(group=ENTRY_POINT_GROUP)[name].load()
    except Exception as error:  # whatever its code raises
        raise SettingsError(f"site {name!r} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(site, Site):
        raise SettingsError(f"entry point {name!r} is a {type(site).__name__}, expected an overfetch.Site")
    return site


def load_sites() -> tuple[list[Site], dict[str, SettingsError]]:
    """Every installed site; apart, by name, those that cannot be loaded: one that is broken hides no other."""
    sites, broken = [], dict[str, SettingsError]()
    for name in site_names():
        try:
            sites.append(load_site(name))
        except SettingsError as error:
            broken[name] = error
    return sites, broken


def find_target(target: str) -> tuple[Site, str | None]:
    """The site of `SITE` or `SITE/COLLECTION`, and the collection where one is named. Raises SettingsError."""
    name, slash, collection = target.partition("/")
    if target and name not in site_names() and Path(target).exists():
        raise SettingsError(
            f"{target!r} is a path and no site: index it (overfetch index SITE/COLLECTION --source {target}), or serve "
            f"it as it is (overfetch serve {target})"
        )
    site = load_site(name)
    if slash:
        site.collection(collection)
    return site, collection or None


def find_collections(target: str) -> list[str]:
    """Names in the store of the collections of `SITE`, or of `SITE/COLLECTION`. Raises SettingsError."""
    site, named = find_target(target)
    return [f"{site.name}/{name}" for name in ([named] if named else [c.name for c in site.collections])]


def find_collection(target: str) -> str:
    """The name in the store of `SITE/COLLECTION`. Raises SettingsError, also where only a site is named."""
    if "/" not in target:
        raise SettingsError(f"{target!r} is a site: name one of its collections, as SITE/COLLECTION")
    return find_collections(target)[0]

"""Ablations: what a collection has chosen against what else it could have, on its judged queries."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal, NamedTuple, get_args

from overfetch.backends import open_store
from overfetch.engine import Engine
from overfetch.evaluation.evaluating import Percentiles, measured, percentiles, search_judged
from overfetch.evaluation.metrics import Difference, Values, means, paired_difference
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries
from overfetch.protocols import Reranker, Store
from overfetch.provenance import split_sources
from overfetch.settings import SettingsOptions
from overfetch.sites import Collection
from overfetch.types import Chunk, Document, Frozen
from overfetch.understanding import literally
from overfetch.workspace import Workspace

Group = Literal["first stage", "understanding", "top_k", "reranker", "long passages", "chunks"]
GROUPS: tuple[Group, ...] = get_args(Group)
FIRST_STAGES: dict[str, SettingsOptions] = {
    "dense": {"first_stage": "dense"},
    "BM25": {"first_stage": "bm25"},
    "hybrid, by score": {"first_stage": "hybrid", "fusion": "dbsf"},
    "hybrid, by rank": {"first_stage": "hybrid", "fusion": "rrf"},
}
DEPTHS = (10, 20, 50, 100)
PROFILES = ("mini", "mini-fast")
TOKENS = (64, 128)  # a passage at most, where the chooser of the limit can be asked

Watch = Callable[[str], AbstractContextManager[Progress]]
Cut = Callable[[Document], Iterable[Chunk]]


class Row(Frozen):
    """One choice: means over the queries and, but for what is chosen, the gain over that.

    Milliseconds are of embedding and searching, a median, and of reranking without remembered scores, for which so many
    tokens were read; None where nobody counts them.
    """

    group: Group | None
    name: str
    metrics: dict[str, float]
    difference: dict[str, Difference] | None = None
    search_ms: float | None = None
    rerank_ms: Percentiles | None = None
    tokens_read: Percentiles | None = None


class Ablation(Frozen):
    """What is chosen, then every other choice, one at a time."""

    collection: str
    queries: int
    timed: int
    chosen: Row
    rows: tuple[Row, ...]
    provenance: dict[str, str]


class Reading(NamedTuple):
    """Which cross-encoder reads the passages, and how: `tokens` a query, 0 for all, by default as it does anyway."""

    profile: str
    tuned: bool
    windows: bool
    tokens: int | None = None


class Variant(NamedTuple):
    """A collection as it is or could be; `indexed` anew where its passages are others."""

    collection: Collection
    reading: Reading
    indexed: bool = False


Named = tuple[Group, str, Variant]


def ablate(
    workspace: Workspace,
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    *,
    profile: str,
    groups: Sequence[Group] = GROUPS,
    budgets: Sequence[int] = (),
    timed: int = 0,
    watch: Watch,
) -> Ablation:
    """Searches every judged query under each choice, and the first `timed` ones once more by the clock.

    Other chunks are indexed from the collection's own source in a folder that is removed. `budgets` are further rows of
    long passages: tokens that are read for a query, 0 for all.
    """
    base = engine.site.collection(collection)
    retrieval = base.retrieval.override(one_per_document=True)
    windows = workspace.environment.reads_windows
    chosen = Variant(
        base.model_copy(update={"retrieval": retrieval, "judged": None}),
        Reading(profile, _is_tuned(engine, collection), windows),
    )
    named = list(_variants(chosen, groups, budgets, workspace, engine))
    with TemporaryDirectory(prefix="overfetch-ablate-") as folder, ExitStack() as opened:
        bench = Bench(workspace, engine, judged, timed, watch, Path(folder), opened)
        row, before = bench.row(None, _what_is_chosen(named, chosen), chosen, None)
        rows = [bench.row(group, name, one, before)[0] for group, name, one in named if one != chosen]
    return Ablation(
        collection=engine.name_of(collection),
        queries=len(judged.queries),
        timed=min(timed, len(judged.queries)),
        chosen=row,
        rows=tuple(rows),
        provenance=dict(search_judged(engine, collection, judged.queries[0], rerank=False).provenance),
    )


def _what_is_chosen(named: Sequence[Named], chosen: Variant) -> str:
    return " · ".join(f"{group}: {name}" for group, name, one in named if one == chosen)


def _is_tuned(engine: Engine, collection: str) -> bool:
    return engine.reranker_of(collection).spec.repo != engine.reranker.spec.repo


def _variants(
    chosen: Variant, groups: Sequence[Group], budgets: Sequence[int], workspace: Workspace, engine: Engine
) -> Iterator[Named]:
    """In every group also what is chosen, by its name there."""
    of_group: dict[Group, Callable[[], Iterator[tuple[str, Variant]]]] = {
        "first stage": lambda: ((name, _set(chosen, **options)) for name, options in FIRST_STAGES.items()),
        "understanding": lambda: _understandings(chosen),
        "top_k": lambda: ((str(depth), _set(chosen, top_k=depth)) for depth in DEPTHS),
        "reranker": lambda: _rerankers(chosen, workspace, engine),
        "long passages": lambda: _long_passages(chosen, budgets, engine),
        "chunks": lambda: _chunks(chosen),
    }
    for group in groups:
        for name, variant in of_group[group]():
            yield group, name, variant


def _set(chosen: Variant, **options: object) -> Variant:
    retrieval = chosen.collection.retrieval.model_copy(update=options)
    return _with(chosen, retrieval=retrieval)


def _with(chosen: Variant, *, indexed: bool = False, **changes: object) -> Variant:
    return chosen._replace(collection=chosen.collection.model_copy(update=changes), indexed=indexed)


def _understandings(chosen: Variant) -> Iterator[tuple[str, Variant]]:
    yield "on", chosen
    if chosen.collection.understand is not literally:
        yield "off", _with(chosen, understand=literally)


def _rerankers(chosen: Variant, workspace: Workspace, engine: Engine) -> Iterator[tuple[str, Variant]]:
    """Those of profiles that search the same index."""
    yield "off", _set(chosen, rerank=False)
    on = _set(chosen, rerank=True)
    for profile in dict.fromkeys([*PROFILES, chosen.reading.profile]):
        if workspace.environment.pair(profile).embedder.identity == engine.embedder.spec.identity:
            yield profile, on._replace(reading=chosen.reading._replace(profile=profile, tuned=False))
    if _is_tuned(engine, chosen.collection.name):
        yield "tuned", on._replace(reading=chosen.reading._replace(tuned=True))


def _long_passages(chosen: Variant, budgets: Sequence[int], engine: Engine) -> Iterator[tuple[str, Variant]]:
    """Within each of the budgets, the present one among them, where there are any."""
    own = engine.reranker_of(chosen.collection.name).spec.read_tokens or 0
    in_windows = chosen.reading._replace(windows=True)
    for tokens in dict.fromkeys([own, *budgets]) if budgets else ():
        name = f"{tokens:,} tokens a query" if tokens else "all windows"
        yield name, chosen._replace(reading=in_windows._replace(tokens=None if tokens == own else tokens))
    if not budgets:
        yield "read in windows", chosen._replace(reading=in_windows)
    yield "cut", chosen._replace(reading=chosen.reading._replace(windows=False))


def _chunks(chosen: Variant) -> Iterator[tuple[str, Variant]]:
    """Of another size where the chunker takes `tokens`, a passage's limit; and without what stands above them."""
    cut: Callable[..., Iterable[Chunk]] = chosen.collection.chunk
    limit = inspect.signature(cut).parameters.get("tokens")
    yield f"{limit.default} tokens" if limit else "as they are", chosen
    for tokens in TOKENS if limit else ():
        yield f"{tokens} tokens", _with(chosen, indexed=True, chunk=partial(cut, tokens=tokens))
    yield "without breadcrumbs", _with(chosen, indexed=True, chunk=partial(_bare, cut))


def _bare(cut: Cut, document: Document) -> Iterator[Chunk]:
    return (chunk.model_copy(update={"breadcrumb": ""}) for chunk in cut(document))


class Bench:
    """Measures variants on the judged queries; what it opens is closed with `opened`."""

    def __init__(
        self,
        workspace: Workspace,
        engine: Engine,
        judged: JudgedQueries,
        timed: int,
        watch: Watch,
        folder: Path,
        opened: ExitStack,
    ) -> None:
        self.workspace = workspace
        self.engine = engine
        self.judged = judged
        self.timed = judged.queries[:timed]
        self.watch = watch
        self.folder = folder
        self.opened = opened
        self._rerankers: dict[tuple[Reading, bool], Reranker] = {}

    def row(self, group: Group | None, name: str, variant: Variant, before: Values | None) -> tuple[Row, Values]:
        """With its values, one a query."""
        store = self._indexed(name, variant) if variant.indexed else self.engine.store
        with self.watch(f"{group or 'chosen'}: {name}") as progress:
            values = self._values(self._engine(variant, store, remembering=True), variant.collection.name, progress)
        row = Row(
            group=group,
            name=name,
            metrics=means(values),
            difference={m: paired_difference(before[m], values[m]) for m in values} if before else None,
        )
        if self.timed:
            row = row.model_copy(update=self._spent(self._engine(variant, store, remembering=False), variant))
        return row, values

    def _values(self, engine: Engine, collection: str, progress: Progress) -> Values:
        found = []
        for done, query in enumerate(self.judged.queries, start=1):
            found.append(search_judged(engine, collection, query))
            progress(done, len(self.judged.queries))
        return measured(self.judged, found)

    def _spent(self, engine: Engine, variant: Variant) -> dict[str, float | Percentiles | None]:
        engine.warm_up()
        found = [search_judged(engine, variant.collection.name, query) for query in self.timed]
        timings, read = [one.timings_ms for one in found], [one.tokens_read for one in found if one.tokens_read]
        return {
            "search_ms": round(median(t.embed + t.search for t in timings), 1),
            "rerank_ms": percentiles([t.rerank for t in timings]),
            "tokens_read": percentiles(read) if read else None,
        }

    def _engine(self, variant: Variant, store: Store, *, remembering: bool) -> Engine:
        site = self.engine.site.model_copy(
            update={"collections": (variant.collection,), "ask": variant.collection.name}
        )
        reranker = self._reranker(variant, remembering)
        return Engine(site, embedder=self.engine.embedder, reranker=reranker, store=store)

    def _reranker(self, variant: Variant, remembering: bool) -> Reranker:
        reading = variant.reading
        if (reading, remembering) not in self._rerankers:
            changes = {
                "long_passages": "windows" if reading.windows else "cut",
                **({} if remembering else {"cached_scores": 0, "scores_file": None}),
                **({} if reading.tuned else {"tuned": self.folder / "none"}),
                **({} if reading.tokens is None else {"rerank_tokens": reading.tokens}),
            }
            own = Workspace(self.workspace.environment.model_copy(update=changes))
            self.opened.enter_context(own)
            site = own.site(self.engine.site, profile=reading.profile)
            self._rerankers[reading, remembering] = site.reranker_of(variant.collection.name)
        return self._rerankers[reading, remembering]

    def _indexed(self, name: str, variant: Variant) -> Store:
        """The collection's own source, cut otherwise, in a store of its own."""
        address = f"file:{self.folder / name.replace(' ', '-')}"
        store = open_store(self.workspace.environment.model_copy(update={"qdrant": address}))
        self.opened.callback(store.close)
        collection = variant.collection.name
        source = self.engine.store.provenance(self.engine.name_of(collection)).source
        paths, prefixes, skip_bad = split_sources(source)
        engine = self._engine(variant, store, remembering=True)
        with self.watch(f"indexing: {name}") as progress:
            engine.index(collection, *paths, id_prefixes=prefixes, skip_bad=skip_bad, progress=progress)
        return store

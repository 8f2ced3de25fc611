"""BM25's parameters and the fusion, fitted on a collection's judged queries; what that brings, on queries not used."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import Literal, NamedTuple

from overfetch.bm25 import Bm25, StopWords
from overfetch.engine import Engine
from overfetch.evaluation.evaluating import documents, search_judged
from overfetch.evaluation.metrics import DECISIVE, Difference, Values, means, measure, paired_difference
from overfetch.evaluation.reweighing import POOL, Reweighed, Terms, count
from overfetch.filters import Condition, KnownBy
from overfetch.first_stage import StoreSearch, deepened, search_understood
from overfetch.indexing import Progress
from overfetch.judged import JudgedQueries, JudgedQuery, date_bounds
from overfetch.ordering import order
from overfetch.requests import SearchRequest
from overfetch.settings import Fusion, RetrievalSettings
from overfetch.sites import Collection
from overfetch.types import Frozen
from overfetch.understanding import Understood

K1 = (0.6, 0.9, 1.2, 1.8)
B = (0.0, 0.25, 0.5, 0.75, 1.0)
STOP_WORDS: tuple[StopWords, ...] = ("english", "none")
WEIGHTS = (0.5, 0.75, 1.0, 1.5, 2.0)
FUSIONS: tuple[tuple[Fusion, float], ...] = (("dbsf", 1.0), *(("rrf", weight) for weight in WEIGHTS))
FOLDS = 5


Kept = Literal["best", "measured", "as it is"]


class Choice(Frozen):
    """What is fitted."""

    bm25: Bm25
    fusion: Fusion
    bm25_weight: float


class Fitted(Frozen):
    """A choice, None where each fold has its own, its means over the queries, and the gain over what is."""

    choice: Choice | None
    metrics: dict[str, float]
    difference: dict[str, Difference]


class Fit(Frozen):
    """The first stage of a collection on its judged queries, as it is and with other parameters of BM25 and fusion.

    `measured` changes the average length alone, to that of the passages; `held_out` is the best choice of the other
    folds on each fold in turn; `best` the one of all queries, whose own metrics flatter it. `choice` is `best` where
    `held_out` gains nDCG@10 beyond chance; else `measured`, unless that loses beyond chance; else what is.
    """

    collection: str
    queries: int
    passages: int
    as_it_is: Fitted
    measured: Fitted
    held_out: Fitted
    best: Fitted
    kept: Kept
    choice: Choice


class Question(NamedTuple):
    """A judged query as it is understood, and its first stage."""

    understood: Understood
    search: Reweighed


def fit(
    engine: Engine,
    collection: str,
    judged: JudgedQueries,
    judged_as: str,
    *,
    progress: Progress = lambda done, total: None,
) -> Fit:
    """Tries every choice on the index as it is; `judged_as` names the queries, to be stored with what was chosen."""
    chosen = engine.site.collection(collection)
    settings = chosen.retrieval.override(one_per_document=True)
    terms, questions = _prepare(engine, chosen, judged, settings)
    now = Choice(bm25=chosen.bm25, fusion=settings.fusion, bm25_weight=settings.bm25_weight)
    lengths = {reading: round(counted.average_length, 1) for reading, counted in terms.items()}
    measured = now.model_copy(update={"bm25": _sized(now.bm25, lengths)})
    choices = [now, measured, *_grid(lengths)]
    values: list[Values] = []
    for done, choice in enumerate(choices, start=1):
        values.append(_values(choice, questions, judged, settings))
        progress(done, len(choices))
    best = _best([of[DECISIVE] for of in values], range(len(questions)))
    as_it_is, sized, *_ = values
    held_out = _held_out(values)
    kept = _kept(as_it_is[DECISIVE], sized[DECISIVE], held_out[DECISIVE])
    final = {"best": choices[best], "measured": measured, "as it is": now}[kept]
    stored = engine.store.provenance(engine.name_of(collection))
    fitted_on = f"{judged_as}, {len(questions)} queries; corpus {(stored.corpus_hash or 'unknown')[:12]}"
    bm25 = final.bm25.model_copy(update={"fitted_on": fitted_on})
    return Fit(
        collection=engine.name_of(collection),
        queries=len(questions),
        passages=len(terms["english"].lengths),
        as_it_is=_fitted(now, as_it_is, as_it_is),
        measured=_fitted(measured, sized, as_it_is),
        held_out=_fitted(None, held_out, as_it_is),
        best=_fitted(choices[best], values[best], as_it_is),
        kept=kept,
        choice=final.model_copy(update={"bm25": bm25}),
    )


def _prepare(
    engine: Engine, collection: Collection, judged: JudgedQueries, settings: RetrievalSettings
) -> tuple[Mapping[StopWords, Terms], list[Question]]:
    search_judged(engine, collection.name, judged.queries[0], rerank=False)  # raises where other models made it
    requests = [_request(query, collection) for query in judged.queries]
    understood = [request.understood(collection) for request in requests]
    texts = list(dict.fromkeys(text for one in understood for text in one.texts))
    embedded = list(dict.fromkeys(text for one in understood for text in one.embedded))
    vectors = dict(zip(embedded, engine.embedder.embed_queries(embedded), strict=True))
    name = engine.name_of(collection.name)
    terms, made = count(engine.store.passages(name), texts), engine.store.provenance(name)
    near = deepened(settings).top_k * settings.prefetch

    def searched(request: SearchRequest, depth: int) -> StoreSearch:
        alone = settings.model_copy(update={"first_stage": "dense", "top_k": depth, "one_per_document": False})
        return StoreSearch(engine.store, name, vectors, list(_bounds(request, collection)), alone, made)

    def question(request: SearchRequest, one: Understood) -> Question:
        dense = searched(request, near)
        return Question(dense.known(one), Reweighed(dense, searched(request, POOL), terms))

    return terms, [question(request, one) for request, one in zip(requests, understood, strict=True)]


def _request(query: JudgedQuery, collection: Collection) -> SearchRequest:
    return SearchRequest.of(query.text, where=list(date_bounds(collection.date, query)), as_of=query.as_of)


def _bounds(request: SearchRequest, collection: Collection) -> Iterator[Condition]:
    yield from request.conditions(collection)
    if known := request.known_by(collection):
        yield KnownBy(field=known.field, end=known.moment)


def _sized(bm25: Bm25, lengths: Mapping[StopWords, float]) -> Bm25:
    return bm25.model_copy(update={"average_length": lengths[bm25.stop_words]})


def _grid(lengths: Mapping[StopWords, float]) -> Iterator[Choice]:
    for k1, b, stop_words, (fusion, weight) in product(K1, B, STOP_WORDS, FUSIONS):
        bm25 = Bm25(k1=k1, b=b, stop_words=stop_words, average_length=lengths[stop_words])
        yield Choice(bm25=bm25, fusion=fusion, bm25_weight=weight)


def _values(
    choice: Choice, questions: Sequence[Question], judged: JudgedQueries, settings: RetrievalSettings
) -> Values:
    settings = settings.model_copy(update={"fusion": choice.fusion, "bm25_weight": choice.bm25_weight})
    ranked = [_ranked(question, choice.bm25, settings) for question in questions]
    return measure(judged.qrels, {q.id: found for q, found in zip(judged.queries, ranked, strict=True)})


def _ranked(question: Question, bm25: Bm25, settings: RetrievalSettings) -> list[str]:
    question.search.bm25, question.search.settings = bm25, settings
    found = search_understood(question.understood, question.search, settings)
    return documents(order(found.candidates, [], settings, 0.0, found.leading))


def _best(decisive: Sequence[Sequence[float]], queries: Sequence[int]) -> int:
    """The first of the best on these queries."""
    gains = [fmean(of[query] for query in queries) for of in decisive]
    return gains.index(max(gains))


def _held_out(values: Sequence[Values]) -> Values:
    """Of each query, what the choice gives that was best on the queries of the other folds."""
    decisive = [of[DECISIVE] for of in values]
    queries = range(len(decisive[0]))
    chosen = [_best(decisive, [q for q in queries if q % FOLDS != fold]) for fold in range(FOLDS)]
    return {metric: [values[chosen[q % FOLDS]][metric][q] for q in queries] for metric in values[0]}


def _kept(as_it_is: Sequence[float], measured: Sequence[float], held_out: Sequence[float]) -> Kept:
    if paired_difference(as_it_is, held_out).gains:
        return "best"
    return "as it is" if paired_difference(as_it_is, measured).loses else "measured"


def _fitted(choice: Choice | None, values: Values, before: Values) -> Fitted:
    gains = {m: paired_difference(before[m], values[m]) for m in values}
    return Fitted(choice=choice, metrics=means(values), difference=gains)

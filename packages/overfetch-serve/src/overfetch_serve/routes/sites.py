"""`/v1/sites` and `/v1/{site}/{collection}`: what there is to ask."""

from typing import Any

from fastapi import APIRouter, Depends, Request

from overfetch.contents import find_passage, find_passages
from overfetch.errors import SettingsError
from overfetch.filters import FieldKind
from overfetch.protocols import Store, ValueCount
from overfetch.settings import RetrievalSettings
from overfetch.types import Frozen, Passage
from overfetch_serve.access import CurrentKey, CurrentService, allowed
from overfetch_serve.errors import NotFound
from overfetch_serve.paths import without_folders
from overfetch_serve.problems import responses
from overfetch_serve.values import MOST_VALUES, examples, live_generation


async def no_parameters(request: Request) -> None:
    """Raises SettingsError: an `as_of` that is passed over in silence would show what it was to hide."""
    if given := next(iter(request.query_params), None):
        raise SettingsError(f"this address takes no parameters (given {given!r}); search and ask take `as_of`")


router = APIRouter(
    tags=["sites"], dependencies=[Depends(no_parameters)], responses=responses(401, 403, 404, 422, 429, 503)
)


class CollectionDocument(Frozen):
    """A collection: how it is searched, what may be filtered, what is indexed (None where nothing is yet).

    `examples` are questions to begin with.
    """

    name: str
    filters: dict[str, FieldKind]
    retrieval: RetrievalSettings
    date: str | None
    known_at: str | None
    passages: int | None
    provenance: dict[str, Any] | None
    examples: tuple[str, ...]


class ValuesDocument(Frozen):
    """The commonest values of a keyword field and how many passages have each; `more`: there are others."""

    field: str
    values: tuple[ValueCount, ...]
    more: bool


class SiteDocument(Frozen):
    """A site; `ask` is the collection that answers where none is named."""

    name: str
    title: str
    ask: str
    collections: tuple[str, ...]


@router.get("/v1/sites")
async def sites(service: CurrentService, key: CurrentKey) -> list[SiteDocument]:
    """The sites that the key may know of."""
    return [
        SiteDocument(name=s.name, title=s.title, ask=s.ask, collections=tuple(c.name for c in s.collections))
        for s in service.sites.values()
        if key.knows(s.name)
    ]


@router.get("/v1/{site}/{collection}", dependencies=[allowed("search")])
async def collection(site: str, collection: str, service: CurrentService) -> CollectionDocument:
    """Filters and their kinds, counts, and what made what is indexed."""
    engine, chosen = service.collection(site, collection)
    live = await service.work(live_generation, engine.store, engine.name_of(collection))
    made = live.provenance.model_dump(mode="json") if live and live.provenance else None
    return CollectionDocument(
        name=engine.name_of(collection),
        filters=chosen.filters,
        retrieval=chosen.retrieval,
        date=chosen.date,
        known_at=chosen.known_at,
        passages=live.passages if live else None,
        provenance=made and {**made, "source": without_folders(made["source"])},
        examples=await service.work(examples, chosen.judged),
    )


@router.get("/v1/{site}/{collection}/values/{field}", dependencies=[allowed("search")])
async def values(site: str, collection: str, field: str, service: CurrentService) -> ValuesDocument:
    """What a keyword field may be filtered by."""
    engine, chosen = service.collection(site, collection)
    if field not in chosen.filters:
        known = ", ".join(chosen.filters) or "none"
        raise NotFound(f"{engine.name_of(collection)} has no filter field {field!r}; its fields: {known}")
    kind = chosen.filters[field]
    if kind != "keyword":
        raise SettingsError(f"field {field!r} holds {kind} values: only those of keyword fields are counted")
    found = await service.work(service.values.of, engine.store, engine.name_of(collection), field)
    return ValuesDocument(field=field, values=found[:MOST_VALUES], more=len(found) > MOST_VALUES)


@router.get("/v1/{site}/{collection}/passages/{passage_id}", dependencies=[allowed("search")])
async def passage(site: str, collection: str, passage_id: str, service: CurrentService) -> Passage:
    """One passage as it is indexed."""
    engine, _ = service.collection(site, collection)
    found = await service.work(find_passage, engine.store, engine.name_of(collection), passage_id)
    if found is None:
        raise NotFound(f"{engine.name_of(collection)} has no passage {passage_id!r}")
    return found


@router.get("/v1/{site}/{collection}/documents/{document_id:path}", dependencies=[allowed("search")])
async def document(site: str, collection: str, document_id: str, service: CurrentService) -> list[Passage]:
    """The passages of a document, in order."""
    engine, _ = service.collection(site, collection)
    return await service.work(_of_document, engine.store, engine.name_of(collection), document_id)


def _of_document(store: Store, collection: str, document_id: str) -> list[Passage]:
    try:
        return find_passages(store, collection, document_id)
    except SettingsError as error:
        raise NotFound(str(error)) from error

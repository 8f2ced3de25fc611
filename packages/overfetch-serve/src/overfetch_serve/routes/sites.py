"""`/v1/sites` and `/v1/{site}/{collection}`: what there is to ask."""

from typing import Any

from fastapi import APIRouter

from overfetch.contents import find_passages
from overfetch.errors import SettingsError
from overfetch.filters import FieldKind
from overfetch.protocols import Store
from overfetch.settings import RetrievalSettings
from overfetch.types import Frozen, Passage
from overfetch_serve.access import CurrentKey, CurrentService, allowed
from overfetch_serve.errors import NotFound

router = APIRouter(tags=["sites"])


class CollectionDocument(Frozen):
    """A collection: how it is searched, what may be filtered, what is indexed; None where nothing is yet."""

    name: str
    filters: dict[str, FieldKind]
    retrieval: RetrievalSettings
    date: str | None
    known_at: str | None
    passages: int | None
    provenance: dict[str, Any] | None


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
    stored = await service.work(engine.store.generations, engine.name_of(collection))
    live = stored[0] if stored and stored[0].state == "live" else None
    made = live.provenance if live else None
    return CollectionDocument(
        name=engine.name_of(collection),
        filters=chosen.filters,
        retrieval=chosen.retrieval,
        date=chosen.date,
        known_at=chosen.known_at,
        passages=live.passages if live else None,
        provenance=made.model_dump(mode="json") if made else None,
    )


@router.get("/v1/{site}/{collection}/passages/{passage_id}", dependencies=[allowed("search")])
async def passage(site: str, collection: str, passage_id: str, service: CurrentService) -> Passage:
    """One passage as it is indexed."""
    engine, _ = service.collection(site, collection)
    found = await service.work(engine.store.find, engine.name_of(collection), [passage_id])
    if not found:
        raise NotFound(f"{engine.name_of(collection)} has no passage {passage_id!r}")
    return found[0]


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

"""`/v1/models` in OpenAI's shape: what can be asked for by name."""

from collections.abc import Iterator
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from overfetch_serve.access import CurrentKey, CurrentService
from overfetch_serve.errors import NotFound
from overfetch_serve.keys import Key
from overfetch_serve.service import Service
from overfetch_serve.vendors.shapes import OPENAI

router = APIRouter(tags=["other vendors' shapes"], responses=OPENAI.responses)


class Model(BaseModel):
    """`kinds` (not OpenAI's) tells what the name is good for: chats, reranking, embeddings."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "overfetch"
    kinds: tuple[str, ...]


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/v1/models")
async def models(service: CurrentService, key: CurrentKey) -> Models:
    """Of what the key may use: its sites and their collections, rerankers and embedders, and the aliases of these."""
    return Models(data=list(_models(service, key)))


@router.get("/v1/models/{model:path}")
async def model(model: str, service: CurrentService, key: CurrentKey) -> Model:
    for known in _models(service, key):
        if known.id == model:
            return known
    raise NotFound(f"no model {model!r} is served to this key; see /v1/models")


def _models(service: Service, key: Key) -> Iterator[Model]:
    catalogue = service.catalogue
    kinds: dict[str, list[str]] = {name: ["chat"] for name in chat_models(service, key)}
    if "rerank" in key.scopes:
        for kind, of in (("rerank", catalogue.rankers), ("embed", catalogue.embedders)):
            for name in of:
                kinds.setdefault(name, []).append(kind)
    kinds |= {alias: kinds[meant] for alias, meant in catalogue.aliases.items() if meant in kinds}
    return (Model(id=name, kinds=tuple(of)) for name, of in kinds.items())


def chat_models(service: Service, key: Key) -> list[str]:
    """`SITE` and `SITE/COLLECTION` of those that the key may ask."""
    sites = [site for site in service.sites.values() if key.knows(site.name) and "ask" in key.scopes]
    return [name for site in sites for name in (site.name, *(f"{site.name}/{c.name}" for c in site.collections))]

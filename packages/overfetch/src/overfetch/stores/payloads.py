"""How a passage is stored: the same payload on every store."""

from collections.abc import Mapping
from typing import Any

from overfetch.types import Passage

DENSE, SPARSE = "dense", "bm25"
CONTENT_HASH = "content_hash"
FILTERS = "filters"


def to_payload(passage: Passage) -> dict[str, Any]:
    """Everything but the id, which is the point's own."""
    return {**passage.model_dump(exclude={"id"}), FILTERS: passage.filters, CONTENT_HASH: passage.content_hash}


def from_payload(passage_id: str, payload: Mapping[str, Any]) -> Passage:
    fields = {name: value for name, value in payload.items() if name not in (FILTERS, CONTENT_HASH)}
    return Passage(id=passage_id, **fields)


def field_key(field: str) -> str:
    """Path of a filter field in the payload."""
    return f"{FILTERS}.{field}"


def slug(collection: str) -> str:
    """A collection's name as folder or server collection: `site/name` becomes `site--name`."""
    return collection.replace("/", "--")

"""How a passage is stored: the same payload on every store."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from overfetch.partitions import bucket_of
from overfetch.protocols import EncodedPassage, SparseVector
from overfetch.types import Passage

DENSE, SPARSE = "dense", "bm25"
CONTENT_HASH = "content_hash"
FILTERS = "filters"
BUCKET = "bucket"
OWN = (FILTERS, CONTENT_HASH, BUCKET)  # for the store alone


def to_payload(passage: Passage) -> dict[str, Any]:
    """Everything but the id, which is the point's own."""
    own = {FILTERS: passage.filters, CONTENT_HASH: passage.content_hash, BUCKET: bucket_of(passage.document_id)}
    return {**passage.model_dump(exclude={"id"}), **own}


def from_payload(passage_id: str, payload: Mapping[str, Any]) -> Passage:
    fields = {name: value for name, value in payload.items() if name not in OWN}
    return Passage(id=passage_id, **fields)


def from_record(record: Any) -> EncodedPassage:
    """A point of either engine, read with payload and vectors."""
    terms = SparseVector(list(record.vector[SPARSE].indices), list(record.vector[SPARSE].values))
    passage = from_payload(str(record.id), record.payload)
    return EncodedPassage(passage, np.array(record.vector[DENSE], dtype=np.float32), terms)


def field_key(field: str) -> str:
    """Path of a filter field in the payload."""
    return f"{FILTERS}.{field}"


def slug(collection: str) -> str:
    """A collection's name as folder or server collection; no two names become the same.

    >>> slug("site/notes"), slug("acme--eu/notes"), slug("acme/eu--notes")
    ('site--notes', 'acme==eu--notes', 'acme--eu==notes')
    """
    if "--" in collection or "-/" in collection:  # `=` is in no name
        collection = collection.replace("-", "=")
    return collection.replace("/", "--")

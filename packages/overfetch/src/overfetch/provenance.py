"""The lock: what made a collection. Checked before every search and every write."""

from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version

from pydantic import Field

from overfetch.errors import ProvenanceMismatch
from overfetch.settings import ModelSpec
from overfetch.types import Frozen

SCHEMA_VERSION = 2
SPARSE_TOKENIZER = "qdrant-edge-bm25/english/k=1.2,b=0.75,avg_len=256"

SAMPLE = "sample"

FIRST_STAGE_FIELDS = ("embedder", "dimension", "query_prefix", "passage_prefix", "sparse_tokenizer", "schema_version")
WRITE_FIELDS = (*FIRST_STAGE_FIELDS, "chunker")


class Provenance(Frozen):
    """Everything that decides which vectors a text gets, and where the texts came from."""

    embedder: str
    dimension: int
    query_prefix: str
    passage_prefix: str
    chunker: str
    source: str
    sparse_tokenizer: str = SPARSE_TOKENIZER
    schema_version: int = SCHEMA_VERSION
    library_version: str = Field(default_factory=lambda: version("overfetch"))
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of(cls, embedder: ModelSpec, chunker: str, source: str) -> "Provenance":
        return cls(
            embedder=embedder.identity,
            dimension=embedder.dimension or 0,
            query_prefix=embedder.query_prefix,
            passage_prefix=embedder.passage_prefix,
            chunker=chunker,
            source=source,
        )


def repair(collection: str, stored: Provenance) -> str:
    """The command that makes the collection anew from the source it has."""
    source = "" if stored.source == SAMPLE else f" --source {stored.source}"
    return f"overfetch index {collection} --rebuild{source} --profile NAME"


def require_match(collection: str, stored: Provenance, wanted: Provenance, fields: Iterable[str]) -> None:
    """Raises ProvenanceMismatch naming every differing field, both values and the repair."""
    differing = [f for f in fields if getattr(stored, f) != getattr(wanted, f)]
    if differing:
        details = "; ".join(f"{f}: stored {getattr(stored, f)!r}, wanted {getattr(wanted, f)!r}" for f in differing)
        raise ProvenanceMismatch(
            f"collection {collection!r} was made differently ({details}). Nothing was changed. "
            f"Use the profile that made it, or rebuild with the one you want: {repair(collection, stored)}"
        )

"""The lock: what made a collection. Checked before every search and every write."""

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydantic import Field, ValidationError

from overfetch.bm25 import READINGS, SPARSE_TOKENIZER, Bm25, reading_of
from overfetch.errors import ProvenanceMismatch, SettingsError, StoreError
from overfetch.models import ModelSpec, read_models
from overfetch.settings import explain
from overfetch.types import Frozen

SCHEMA_VERSION = 2
NORMALISATION = "l2"  # every Embedder gives vectors of unit length

SAMPLE = "sample"
ID_PREFIX, SKIP_BAD = "--id-prefix", "--skip-bad"

OF_PROFILES = ("embedder", "dimension", "normalisation", "query_prefix", "passage_prefix")
FIRST_STAGE_FIELDS = (*OF_PROFILES, "sparse_tokenizer", "schema_version")
WRITE_FIELDS = (*FIRST_STAGE_FIELDS, "chunker")


@cache
def installed_version() -> str:
    """Looked up once: it takes as long as a search of the store."""
    from importlib.metadata import version

    return version("overfetch")


class Recall(Frozen):
    """Share of the relevant documents among the first `top_k` candidates: mean over the judged `queries`.

    `judgements` is the hash of those queries, their judgements and the settings of the first stage.
    """

    value: float
    top_k: int
    queries: int
    judgements: str


class RecallChange(Frozen):
    """What a new generation finds, and what the live one found; `before` is None where they cannot be compared."""

    before: float | None
    after: float
    top_k: int
    queries: int


class Provenance(Frozen):
    """Everything that decides which vectors a text gets, where the texts came from, and what was stored of them.

    `embedder` is repository, revision and precision; `chunker` name, version and settings; `filters` the kind of each
    field that may be filtered, None where an earlier version did not say. `fitted_on` is by what BM25's weights, which
    `sparse_tokenizer` names, were chosen. `passages`, `corpus_hash` (of the ids and content hashes) and `recall` are
    known once a generation is finished.
    """

    embedder: str
    dimension: int
    query_prefix: str
    passage_prefix: str
    chunker: str
    source: str
    filters: dict[str, str] | None = None
    normalisation: str = NORMALISATION
    sparse_tokenizer: str = SPARSE_TOKENIZER
    fitted_on: str | None = None
    passages: int | None = None
    corpus_hash: str | None = None
    recall: Recall | None = None
    schema_version: int = SCHEMA_VERSION
    library_version: str = Field(default_factory=installed_version)
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of(
        cls,
        embedder: ModelSpec,
        chunker: str,
        source: str,
        filters: Mapping[str, str] | None = None,
        bm25: Bm25 | None = None,
    ) -> "Provenance":
        weights = bm25 or Bm25()
        return cls(
            embedder=embedder.identity,
            dimension=embedder.dimension or 0,
            query_prefix=embedder.query_prefix,
            passage_prefix=embedder.passage_prefix,
            chunker=chunker,
            source=source,
            filters=None if filters is None else dict(filters),
            sparse_tokenizer=weights.tokenizer,
            fitted_on=weights.fitted_on,
        )

    @classmethod
    def stored(cls, collection: str, fields: Mapping[str, Any]) -> Self:
        """As a store keeps it, whichever version of Overfetch wrote it.

        Raises ProvenanceMismatch where that version is another one's, and StoreError where it is damaged.
        """
        schema = fields.get("schema_version")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            if schema == SCHEMA_VERSION:
                raise StoreError(f"the provenance of {collection!r} is damaged: {explain(error)}") from error
        wrote = fields.get("library_version", "an unknown version")
        raise ProvenanceMismatch(
            f"collection {collection!r} was written by overfetch {wrote} (schema_version: stored {schema!r}, wanted "
            f"{SCHEMA_VERSION!r}). Nothing was changed. Use that version, or rebuild: "
            f"overfetch index {collection} --rebuild --source PATH"
        )

    def holding(self, hashes: Mapping[str, str], recall: Recall | None) -> Self:
        """What was made, once it is complete; `hashes` are content hashes by passage id."""
        digest = hashlib.sha256()
        for passage_id in sorted(hashes):
            digest.update(f"{passage_id} {hashes[passage_id]}\n".encode())
        held = {"passages": len(hashes), "corpus_hash": digest.hexdigest(), "recall": recall}
        return self.model_copy(update=held)


def is_same_work(left: Provenance, now: Provenance) -> bool:
    """Whether a run may go on with what another one left."""
    return all(getattr(left, field) == getattr(now, field) for field in (*WRITE_FIELDS, "source"))


def join_sources(sources: Sequence[Path], id_prefixes: Sequence[str] = (), *, skip_bad: bool = False) -> str:
    """The `source` of a provenance: absolute paths and options, quoted as a shell needs them. Raises SettingsError."""
    prefixes = (f"{ID_PREFIX}={prefix}" for prefix in id_prefixes)
    try:
        options = [*prefixes, *([SKIP_BAD] if skip_bad and sources else [])]
        joined = shlex.join([*(str(source.resolve()) for source in sources), *options]) or SAMPLE
        joined.encode()
    except UnicodeEncodeError as error:
        raise SettingsError(f"{sources!r}: a name that is not UTF-8 cannot be kept; rename it") from error
    return joined


class Sources(NamedTuple):
    """What `Engine.index` is given."""

    paths: list[Path]
    id_prefixes: list[str]
    skip_bad: bool


def split_sources(source: str) -> Sources:
    """What `join_sources` joined; no paths where that is the sample."""
    parts = [] if source == SAMPLE else shlex.split(source)
    prefixes = [part.removeprefix(f"{ID_PREFIX}=") for part in parts if part.startswith(f"{ID_PREFIX}=")]
    paths = [Path(part) for part in parts if part != SKIP_BAD and not part.startswith(f"{ID_PREFIX}=")]
    return Sources(paths, prefixes, SKIP_BAD in parts)


def says_otherwise(stored: Provenance, now: Provenance) -> bool:
    """Whether what is stored of a collection is out of date, though every passage may be as it was."""
    told = (stored.source, stored.fitted_on) == (now.source, now.fitted_on)
    return not told or (stored.filters is not None and stored.filters != now.filters)


def weighs_otherwise(stored: Provenance, now: Provenance) -> bool:
    """Whether nothing differs but what BM25 makes of terms: that is made anew without a model."""
    differing = {field for field in WRITE_FIELDS if getattr(stored, field) != getattr(now, field)}
    return differing == {"sparse_tokenizer"}


def source_options(stored: Provenance) -> str:
    """What `overfetch index` needs to read the same source again, after a space; empty for the sample."""
    paths, id_prefixes, skip_bad = split_sources(stored.source)
    named = (f"--source {shlex.quote(str(path))}" for path in paths)
    prefixed = (shlex.quote(f"{ID_PREFIX}={prefix}") for prefix in id_prefixes)
    return "".join(f" {option}" for option in (*named, *prefixed, *[SKIP_BAD] * skip_bad))


def _repair(collection: str, stored: Provenance, wanted: Provenance, unknown: str) -> str:
    """The command that makes the collection anew, by the wanted models, from the source given, else the one it has.

    The profile is named where it is known, since another may be the default.
    """
    sources = source_options(stored if wanted.source == SAMPLE else wanted)
    profile = _profile_of(wanted) or unknown
    return f"overfetch index {collection} --rebuild{sources}{f' --profile {profile}' if profile else ''}"


def _profile_of(made: Provenance) -> str | None:
    """A profile of that embedder."""
    profiles = read_models()[1].values()
    return next((p.name for p in profiles if p.embedder.identity == made.embedder), None)


def require_match(collection: str, stored: Provenance, wanted: Provenance, fields: Iterable[str]) -> None:
    """Raises ProvenanceMismatch naming every differing field, both values and the repair."""
    differing = [f for f in fields if getattr(stored, f) != getattr(wanted, f)]
    if differing:
        details = "; ".join(f"{f}: stored {getattr(stored, f)!r}, wanted {getattr(wanted, f)!r}" for f in differing)
        way, unknown = "Rebuild it", ""
        if set(differing) & set(OF_PROFILES):
            profile = _profile_of(stored)
            made_by = f" (--profile {profile})" if profile else ""
            way, unknown = f"Use the profile that made it{made_by}, or rebuild with the one you want", "NAME"
        raise ProvenanceMismatch(
            f"collection {collection!r} was made differently ({details}). Nothing was changed. "
            f"{way}: {_repair(collection, stored, wanted, unknown)}"
        )


def require_searchable(collection: str, stored: Provenance, wanted: Provenance, filtered: Iterable[str] = ()) -> None:
    """Raises ProvenanceMismatch unless queries made as `wanted` may search vectors made as `stored`.

    So it does where the `filtered` fields were stored as of another kind, or not for filters: nothing would be found.
    """
    _require_filters(collection, stored, wanted, filtered)
    if reading_of(stored.sparse_tokenizer) in READINGS:  # queries are tokenised as the provenance says
        wanted = wanted.model_copy(update={"sparse_tokenizer": stored.sparse_tokenizer})
    if any(m.identity == wanted.embedder and m.makes(stored.embedder) for m in read_models()[0].values()):
        wanted = wanted.model_copy(update={"embedder": stored.embedder})
    require_match(collection, stored, wanted, FIRST_STAGE_FIELDS)


def _require_filters(collection: str, stored: Provenance, wanted: Provenance, filtered: Iterable[str]) -> None:
    if stored.filters is None or wanted.filters is None:
        return
    kinds = {field: (stored.filters.get(field), wanted.filters.get(field)) for field in filtered}
    differing = [
        f"{f}: stored {was or 'none'}, wanted {now or 'none'}" for f, (was, now) in kinds.items() if was != now
    ]
    if differing:
        raise ProvenanceMismatch(
            f"collection {collection!r} was indexed before it could be filtered so ({'; '.join(differing)}): nothing "
            f"would be found. Bring it up to date: overfetch index {collection}{source_options(stored)}"
        )

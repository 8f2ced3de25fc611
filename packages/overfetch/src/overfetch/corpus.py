"""Documents of sources: records of whatever files, as a site's fields read them, one at a time.

A corpus may be larger than memory: of what was read, only a digest of each id is kept.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from overfetch.errors import CorpusError, SettingsError
from overfetch.filters import Schema, comparable, to_keyword, to_number
from overfetch.settings import require_list, shortened
from overfetch.sources import ALLOWED, HEADING, PATH, Record, records_of
from overfetch.types import Document, Frozen, MetadataValue

NO_FILTERS: Schema = {}

Adapt = Callable[[Record], Record]


class FieldMap(Frozen):
    """Which record fields make a document: for each target the accepted names, first present wins. Metadata that keep
    their names may just be listed. A value is text, a number, a boolean or a list of texts: in a list, what is no text
    is spelt as one and what is null left out; an object becomes its JSON.

    A page without any of the `id` fields is named by its path below the source, without suffix; one without any of
    the `title` fields is titled by its first heading, and without front matter else by its file's name.
    A record without one of the metadata fields in `required` is refused; title and text may be empty if in `optional`.
    """

    id: tuple[str, ...] = ("_id", "id")
    title: tuple[str, ...] = ("title", "name")
    text: tuple[str, ...] = ("text",)
    metadata: Mapping[str, tuple[str, ...]] | tuple[str, ...]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def metadata_names(self) -> Mapping[str, tuple[str, ...]]:
        """Of each metadata field the accepted names."""
        named = self.metadata
        return {name: (name,) for name in named} if isinstance(named, tuple) else named


class Skipped:
    """What was left out and why, each as `FILE:LINE: reason`: pages without a body, and with `bad` whatever is broken;
    of files that are of no kind that is read how many, as `FOLDER: reason`.

    A source that is read twice says the same twice, which counts once.
    """

    def __init__(self, *, bad: bool = False) -> None:
        self.bad = bad
        self._reasons: dict[str, None] = {}

    @property
    def reasons(self) -> tuple[str, ...]:
        return tuple(self._reasons)

    def leave_out(self, reason: str) -> None:
        self._reasons[reason] = None

    def broken(self, error: CorpusError) -> None:
        """Raises the error unless what is bad is left out."""
        if not self.bad:
            raise error
        self.leave_out(str(error))


def paths_of(sources: Sequence[str | Path]) -> list[Path]:
    """Raises SettingsError where one is no path; an empty name would be the current folder."""
    for source in sources:
        if not isinstance(source, str | Path) or not str(source).strip():
            raise SettingsError(f"a source is a path (given {shortened(source)}); give several one by one, as *sources")
    return [Path(source) for source in sources]


def read_documents(
    sources: Sequence[Path],
    fields: FieldMap,
    *,
    filters: Schema = NO_FILTERS,
    adapt: Adapt | None = None,
    id_prefixes: Sequence[str] = (),
    skipped: Skipped | None = None,
) -> Iterator[Document]:
    """Every document of all `sources`; `adapt` may reshape a record first, `filters` says what may be filtered on.

    `id_prefixes`, one for each source, stand before the ids of its documents. `skipped` is told what is left out.
    Raises CorpusError naming file and line at the first broken record, a duplicate id, or an empty source, and
    SettingsError where there are more or fewer prefixes than sources.
    """
    if id_prefixes and len(id_prefixes) != len(sources):
        raise SettingsError(f"{len(id_prefixes)} id prefixes for {len(sources)} sources: each source needs one")
    skipped = skipped or Skipped()
    prefixed = list(zip(sources, id_prefixes or [""] * len(sources), strict=True))
    seen: set[bytes] = set()
    for place, document in _located_documents(prefixed, fields, filters, adapt, skipped):
        digest = blake2b(document.id.encode(), digest_size=16).digest()
        if digest in seen:
            skipped.broken(_duplicate(place, document.id, prefixed, fields, adapt, skipped))
            continue
        seen.add(digest)
        yield document
    if not seen:
        left_out = f"; {len(skipped.reasons)} left out, such as {skipped.reasons[0]}" if skipped.reasons else ""
        raise CorpusError(f"{', '.join(map(str, sources))}: no documents found; expected {ALLOWED}{left_out}")


def to_documents(
    records: Iterable[Record], fields: FieldMap, *, filters: Schema = NO_FILTERS, adapt: Adapt | None = None
) -> list[Document]:
    """Of records that are in memory, read as those of a source are.

    Raises CorpusError at the first broken one, naming it by its place from 1, and SettingsError where there is no list.
    """
    require_list("records", records, "mappings, one a document")
    documents: dict[str, Document] = {}
    for number, record in enumerate(records, start=1):
        place = f"record {number}"
        try:
            _require_unicode(place, record)
            document = _document(place, _adapted(place, record, adapt), fields, filters, "")
        except RecursionError as error:
            raise CorpusError(f"{place}: nested too deeply to be read: {error}") from error
        if document.id in documents:
            raise CorpusError(f"{place}: duplicate document id {document.id!r}")
        documents[document.id] = document
    return list(documents.values())


def _duplicate(
    place: str,
    document_id: str,
    sources: Sequence[tuple[Path, str]],
    fields: FieldMap,
    adapt: Adapt | None,
    skipped: Skipped,
) -> CorpusError:
    """Where it was first is looked for once, before the run ends; of many that are left out, nothing is read again."""
    message = f"{place}: duplicate document id {document_id!r}"
    if skipped.bad:
        return CorpusError(f"{message}; the first one is kept")
    documents = _located_documents(sources, fields, NO_FILTERS, adapt, Skipped())
    first = next(p for p, d in documents if d.id == document_id)
    own = f"give one of them its own (a page's is its path, or {fields.id[0]!r} in its front matter)"
    way_on = "give each source its --id-prefix" if len(sources) > 1 else own
    return CorpusError(f"{message}, first seen at {first}; {way_on}, or leave out later ones with --skip-bad")


def _located_documents(
    sources: Sequence[tuple[Path, str]], fields: FieldMap, filters: Schema, adapt: Adapt | None, skipped: Skipped
) -> Iterator[tuple[str, Document]]:
    for source, prefix in sources:
        for place, read in records_of(source, skipped.broken, skipped.leave_out):
            try:
                record = _adapted(place, read(), adapt)
                if source.is_dir() and _has_no_body(record, fields):
                    skipped.leave_out(f"{place}: no text: a page without a body")
                    continue
                document = _document(place, record, fields, filters, prefix)
            except CorpusError as error:
                skipped.broken(error)
            except RecursionError as error:
                skipped.broken(CorpusError(f"{place}: nested too deeply to be read: {error}"))
            else:
                yield place, document


def _has_no_body(record: Record, fields: FieldMap) -> bool:
    """A section's page of titles and settings, as site generators have them."""
    return PATH in record and "text" not in fields.optional and not str(_first(record, fields.text) or "").strip()


def _adapted(place: str, record: Record, adapt: Adapt | None) -> Record:
    try:
        read = adapt(record) if adapt else record
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise CorpusError(f"{place}: not a record of this collection: {type(error).__name__}: {error}") from error
    if not isinstance(read, Mapping):
        given = "the collection's adapt gave" if adapt else "given"
        raise CorpusError(f"{place}: a record is a mapping of fields ({given} {shortened(read)})")
    return read


def _document(place: str, record: Record, fields: FieldMap, filters: Schema, prefix: str) -> Document:
    metadata = {name: _plain(_first(record, names)) for name, names in fields.metadata_names.items()}
    texts = {
        "id": prefix + _required(place, record, "id", fields.id + (PATH,) * (PATH in record)),
        "title": _text(place, record, "title", fields.title + (HEADING,) * (HEADING in record), fields.optional),
        "text": _text(place, record, "text", fields.text, fields.optional),
    }
    if PATH in record:
        _require_unicode(place, texts, metadata)
        numbers = {name for name, kind in filters.items() if kind == "number"}
        metadata |= {name: _number(metadata[name]) for name in numbers & metadata.keys()}
    kept = {name: value for name, value in metadata.items() if value not in (None, "")}
    document = Document(**texts, metadata=kept)
    _check_metadata(place, document, fields.required, filters)
    return document


def _require_unicode(place: str, *values: object) -> None:
    """Half of a surrogate pair comes from an escape in YAML, or from a file's name that is not UTF-8."""
    try:
        json.dumps(values, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        raise CorpusError(f"{place}: text that cannot be stored: {error}") from error


def _number(value: MetadataValue) -> MetadataValue:
    """What a page writes in a field of numbers; what is none stays, and is refused."""
    if not isinstance(value, str):
        return value
    try:
        return int(value) if value.isdecimal() and len(value) < len(str(2**63)) else to_number(value)
    except SettingsError:
        return value


def _check_metadata(place: str, document: Document, required: Iterable[str], filters: Schema) -> None:
    for name in required:
        if name not in document.metadata:
            raise CorpusError(f"{place}: no {name}: this collection needs it for every document")
    for name, value in document.metadata.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise CorpusError(f"{place}: field {name!r} is {value}: no store keeps what is not a finite number")
    try:
        comparable(document.metadata, filters)
    except SettingsError as error:
        raise CorpusError(f"{place}: {error}") from error


def _first(record: Record, names: Iterable[str]) -> Any:
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


def _text(place: str, record: Record, target: str, names: Sequence[str], optional: Sequence[str]) -> str:
    if target in optional and _first(record, names) in (None, ""):
        return ""
    return _required(place, record, target, names)


def _required(place: str, record: Record, target: str, names: Sequence[str]) -> str:
    value = _first(record, names)
    if value is None or not str(value).strip():
        raise CorpusError(f"{place}: no {target}: expected a non-empty {' or '.join(map(repr, names))}")
    if isinstance(value, list | dict | bool):
        raise CorpusError(f"{place}: {target} is a {type(value).__name__}, expected text")
    return str(value)


def _plain(value: Any) -> MetadataValue:
    """Integers beyond 64 bits become text: one store refuses them, another rounds them.

    What stands in a list is spelt as it would be alone; nothing is no value.
    """
    if isinstance(value, list | tuple):
        return [item if isinstance(item, str) else _spelt(item) for item in value if item is not None]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else _spelt(value)


def _spelt(item: Any) -> str:
    if isinstance(item, dict | list):
        return json.dumps(item, ensure_ascii=False, default=str)
    return to_keyword(item) if isinstance(item, bool | float) else str(item)

"""Reading sources: a folder of Markdown, a JSONL file or a CSV file become documents, one at a time.

A corpus may be larger than memory: of what was read, only a digest of each id is kept.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any

from overfetch.errors import CorpusError, SettingsError
from overfetch.filters import Schema, comparable
from overfetch.types import Document, Frozen, MetadataValue

Record = Mapping[str, Any]
Located = tuple[str, Record]
PATH = "path below the source"
NO_FILTERS: Schema = {}

Adapt = Callable[[Record], Record]


class FieldMap(Frozen):
    """Which record fields make a document: for each target the accepted names, first present wins.

    A Markdown page without any of the `id` fields is named by its path below the source, without suffix.
    A record without one of the metadata fields in `required` is refused; title and text may be empty if in `optional`.
    """

    id: tuple[str, ...] = ("_id", "id")
    title: tuple[str, ...] = ("title", "name")
    text: tuple[str, ...] = ("text",)
    metadata: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def read_documents(
    sources: Sequence[Path],
    fields: FieldMap,
    *,
    filters: Schema = NO_FILTERS,
    adapt: Adapt | None = None,
) -> Iterator[Document]:
    """Every document of all `sources`; `adapt` may reshape a record first, `filters` says what may be filtered on.

    Raises CorpusError naming file and line at the first broken record, a duplicate id, or an empty source.
    """
    seen: set[bytes] = set()
    for place, document in _located_documents(sources, fields, adapt):
        _check_metadata(place, document, fields.required, filters)
        digest = blake2b(document.id.encode(), digest_size=16).digest()
        if digest in seen:
            first = next(p for p, d in _located_documents(sources, fields, adapt) if d.id == document.id)
            raise CorpusError(f"{place}: duplicate document id {document.id!r}, first seen at {first}")
        seen.add(digest)
        yield document
    if not seen:
        raise CorpusError(
            f"{', '.join(map(str, sources))}: no documents found; expected Markdown files, JSONL lines or CSV rows"
        )


def _located_documents(
    sources: Sequence[Path], fields: FieldMap, adapt: Adapt | None
) -> Iterator[tuple[str, Document]]:
    for place, record in chain.from_iterable(map(_records, sources)):
        yield place, _document(place, _adapted(place, record, adapt), fields)


def _records(source: Path) -> Iterator[Located]:
    if source.is_dir():
        return chain.from_iterable(_records_below(source))
    if not source.exists():
        raise CorpusError(f"{source}: no such file or folder")
    if source.suffix.lower() not in READERS:
        raise CorpusError(f"{source}: unknown kind of file; allowed: a folder, {', '.join(READERS)}")
    return READERS[source.suffix.lower()](source)


def _records_below(folder: Path) -> Iterator[Iterator[Located]]:
    for path in _files_below(folder):
        name = path.relative_to(folder).with_suffix("").as_posix()
        located = READERS[path.suffix.lower()](path)
        yield ((place, {**record, PATH: name} if PATH in record else record) for place, record in located)


def _files_below(folder: Path) -> Iterator[Path]:
    """In the order of their paths. Links to folders are not followed."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            yield from _files_below(path)
        elif path.suffix.lower() in READERS:
            yield path


def _lines(path: Path) -> Iterator[str]:
    """Lines as Python reads them, their ends made one line feed; a file is never in memory as a whole."""
    number, start = 1, 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield from io.StringIO(line.decode("utf-8-sig" if number == 1 else "utf-8"), newline=None)
                start += len(line)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}:{number}: not UTF-8 at byte {start + error.start}") from error
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error


def _read_markdown(path: Path) -> Iterator[Located]:
    text = "".join(_lines(path))
    if not text.startswith("---"):
        raise CorpusError(f"{path}:1: missing front matter; begin with a '---' block that has at least 'title:'")
    import frontmatter
    import yaml

    try:
        page = frontmatter.loads(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2026-02-30
        raise CorpusError(f"{path}:1: front matter is not valid YAML: {' '.join(str(error).split())}") from error
    yield f"{path}:1", {**page.metadata, PATH: path.stem, "text": page.content}


def _read_jsonl(path: Path) -> Iterator[Located]:
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            yield f"{path}:{number}", _parse_object(f"{path}:{number}", line.removesuffix("\n"))


def _parse_object(place: str, line: str) -> Record:
    try:
        record = json.loads(line)
        json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise CorpusError(f"{place}: broken JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:  # half of a surrogate pair, or a number of thousands of digits
        raise CorpusError(f"{place}: JSON that cannot be stored: {error}") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{place}: expected a JSON object, found {type(record).__name__}")
    return record


def _read_csv(path: Path) -> Iterator[Located]:
    reader = csv.DictReader(_lines(path), strict=True)
    try:
        for record in reader:
            if None in record or None in record.values():
                columns = len(reader.fieldnames or ())
                raise CorpusError(f"{path}:{reader.line_num}: expected {columns} columns as in the header line")
            yield f"{path}:{reader.line_num}", record
    except csv.Error as error:
        raise CorpusError(f"{path}:{reader.line_num + 1}: broken CSV: {error}") from error


READERS: dict[str, Callable[[Path], Iterator[Located]]] = {
    ".md": _read_markdown,
    ".jsonl": _read_jsonl,
    ".csv": _read_csv,
}


def _adapted(place: str, record: Record, adapt: Adapt | None) -> Record:
    try:
        return adapt(record) if adapt else record
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise CorpusError(f"{place}: not a record of this collection: {type(error).__name__}: {error}") from error


def _document(place: str, record: Record, fields: FieldMap) -> Document:
    metadata = {name: _plain(_first(record, names)) for name, names in fields.metadata.items()}
    return Document(
        id=_required(place, record, "id", fields.id + (PATH,) * (PATH in record)),
        title=_text(place, record, "title", fields.title, fields.optional),
        text=_text(place, record, "text", fields.text, fields.optional),
        metadata={name: value for name, value in metadata.items() if value not in (None, "")},
    )


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
    """Integers beyond 64 bits become text: one store refuses them, another rounds them."""
    if isinstance(value, list):
        return [str(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)

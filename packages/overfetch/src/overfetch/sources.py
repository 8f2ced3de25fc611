"""Sources: which files of a folder belong to a corpus, and the records that each kind of file holds.

A record comes as a call that reads it, so that a broken one can be left out and those after it still be read.
"""

import csv
import io
import json
import stat
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from overfetch.errors import CorpusError
from overfetch.front_matter import split_page
from overfetch.headings import first_heading, restructured_as_markdown

Record = Mapping[str, Any]
Located = tuple[str, Callable[[], Record]]
Broken = Callable[[CorpusError], None]
LeaveOut = Callable[[str], None]
PATH = "path below the source"
HEADING = "first heading"
ALLOWED = "pages (Markdown, HTML, .txt, .rst), JSONL and CSV"
NAMED = 5  # kinds of files that are not read
NOT_WRITTEN_BY_HAND = {"node_modules", "bower_components", "site-packages", "__pycache__", "__MACOSX"}


def records_of(source: Path, broken: Broken, leave_out: LeaveOut) -> Iterator[Located]:
    """Place and record of everything in the source; `broken` is told of each file that cannot be read on, or raises,
    and `leave_out` of how many there are of kinds that are not read.
    """
    if source.is_dir():
        for path in files_below(source, broken, leave_out):
            name = path.relative_to(source).with_suffix("").as_posix()
            yield from _guarded(path, partial(_named, name), broken)
    elif not source.exists():
        raise CorpusError(f"{source}: no such file or folder")
    elif source.suffix.lower() not in READERS:
        raise CorpusError(f"{source}: unknown kind of file; allowed: a folder, {', '.join(READERS)}")
    else:
        yield from _guarded(source, lambda record: record, broken)


def _guarded(path: Path, name: Callable[[Record], Record], broken: Broken) -> Iterator[Located]:
    try:
        for place, read in READERS[path.suffix.lower()](path):
            yield place, partial(_read_named, read, name)
    except CorpusError as error:
        broken(error)


def _read_named(read: Callable[[], Record], name: Callable[[Record], Record]) -> Record:
    return name(read())


def _named(name: str, record: Record) -> Record:
    return {**record, PATH: name} if PATH in record else record


def files_below(folder: Path, broken: Broken, leave_out: LeaveOut) -> Iterator[Path]:
    """In the order of their paths, without what is hidden or was not written by hand; links to folders are not read.

    A link out of the folder is broken: what lies there was not chosen.
    """
    root, others = folder.resolve(), Counter[str]()
    waiting = _entries(folder, broken)
    while waiting:
        path = waiting.pop()
        if path.name.startswith((".", "~$")) or path.name in NOT_WRITTEN_BY_HAND:
            continue
        if path.is_symlink() and (target := _target(path)) is None:
            broken(CorpusError(f"{path}: a link that leads to itself"))
        elif _leaves(path, root):
            broken(CorpusError(f"{path}: a link out of the source, to {target}; name that as a source itself"))
        elif path.is_dir():
            waiting += [] if path.is_symlink() else _entries(path, broken)
        elif _is_read(path):
            yield path
        else:
            others[path.suffix.lower() or path.name] += 1
    if others:
        named = ", ".join(f"{number} {kind}" for kind, number in others.most_common(NAMED))
        more = f" and {len(others) - NAMED} other kinds" if len(others) > NAMED else ""
        leave_out(f"{folder}: not read: {named}{more}; read are {ALLOWED}")


def _entries(folder: Path, broken: Broken) -> list[Path]:
    """The first one last."""
    try:
        return sorted(folder.iterdir(), reverse=True)
    except OSError as error:
        broken(CorpusError(f"{folder}: cannot be read: {error.strerror}"))
        return []


def _target(path: Path) -> Path | None:
    """None of a loop: resolving one raises before Python 3.13, and stops at a link since then."""
    try:
        target = path.resolve()
    except (OSError, RuntimeError):
        return None
    return None if target.is_symlink() else target


def _leaves(path: Path, root: Path) -> bool:
    return path.is_symlink() and (path.is_dir() or _is_read(path)) and not path.resolve().is_relative_to(root)


def _is_read(path: Path) -> bool:
    return path.suffix.lower() in READERS


def read_lines(path: Path) -> Generator[str, None, None]:
    """Lines as Python reads them, their ends made one line feed; a file is never in memory as a whole."""
    for read in _lines_read(path):
        yield from read()


def _lines_read(path: Path) -> Iterator[Callable[..., Iterable[str]]]:
    """What reads each line of bytes, so that one that is broken costs no other.

    It raises CorpusError, or reads on by `errors` (`bytes.decode`).
    """
    start = 0
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CorpusError(f"{path}: no regular file: a pipe or a device has no end")
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield partial(_decoded, path, number, start, line)
                start += len(line)
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error


def _decoded(path: Path, number: int, start: int, line: bytes, errors: str = "strict") -> Iterable[str]:
    try:
        return io.StringIO(line.decode("utf-8-sig" if number == 1 else "utf-8", errors), newline=None)
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path}:{number}: not UTF-8 at byte {start + error.start}") from error


def _read_markdown(path: Path) -> Iterator[Located]:
    yield f"{path}:1", partial(_parse_page, path, "".join(read_lines(path)))


def _parse_page(path: Path, page: str) -> Record:
    """A page without a title is named by its first heading; one without front matter else by its file."""
    fields, text = split_page(path, page)
    title = first_heading(text) or (path.stem if not fields else None)
    return {HEADING: title, **(fields or {}), PATH: path.stem, "text": text}


def _read_text(path: Path) -> Iterator[Located]:
    text = "".join(read_lines(path))
    yield f"{path}:1", lambda: {HEADING: path.stem, PATH: path.stem, "text": text}


def _read_html(path: Path) -> Iterator[Located]:
    yield f"{path}:1", partial(_parse_web_page, path, "".join(read_lines(path)))


def _parse_web_page(path: Path, page: str) -> Record:
    from overfetch.html_pages import read_web_page

    title, text = read_web_page(path, page)
    return {HEADING: title or path.stem, PATH: path.stem, "text": text}


def _read_restructured(path: Path) -> Iterator[Located]:
    text = restructured_as_markdown("".join(read_lines(path)))
    yield f"{path}:1", lambda: {HEADING: first_heading(text) or path.stem, PATH: path.stem, "text": text}


def read_jsonl(path: Path) -> Iterator[Located]:
    """A record a line, each with its place; what is broken raises CorpusError when it is asked for."""
    number = 0
    for read in _lines_read(path):
        try:
            lines = list(read())
        except CorpusError as error:
            number += 1
            yield f"{path}:{number}", partial(_raise, error)
            continue
        for line in lines:
            number += 1
            if line.strip():
                place = f"{path}:{number}"
                yield place, partial(_parse_object, place, line.removesuffix("\n"))


def _raise(error: CorpusError) -> Record:
    """In the place of a record that cannot be read."""
    raise error


def _parse_object(place: str, line: str) -> Record:
    try:
        record = json.loads(line, object_pairs_hook=partial(_once, place))
        json.dumps(record, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise CorpusError(f"{place}: broken JSON: {error.msg} at column {error.colno}") from error
    except ValueError as error:  # half of a surrogate pair, or a number of thousands of digits
        raise CorpusError(f"{place}: JSON that cannot be stored: {error}") from error
    except RecursionError as error:
        raise CorpusError(f"{place}: JSON that is nested too deeply to be read") from error
    if not isinstance(record, dict):
        raise CorpusError(f"{place}: expected a JSON object, found {type(record).__name__}")
    return record


def _once(place: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise CorpusError(f"{place}: the key {_repeated(key for key, _ in pairs)!r} is there twice; one would be lost")
    return fields


def _repeated(names: Iterable[str]) -> str | None:
    """The first name that was there before; columns without a name cannot be asked for."""
    seen = set[str]()
    return next((name for name in names if name in seen or seen.add(name)), None)  # type: ignore[func-returns-value]


class _Readable:
    """The lines of a file with marks in place of what is not UTF-8, since quotation marks go on beyond a line; `broken`
    says where.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._broken: CorpusError | None = None

    def __iter__(self) -> Generator[str, None, None]:
        for read in _lines_read(self.path):
            try:
                yield from read()
            except CorpusError as error:
                self._broken = self._broken or error
                yield from read(errors="replace")

    def broken(self) -> CorpusError | None:
        """The first place since the last call."""
        broken, self._broken = self._broken, None
        return broken


def _read_csv(path: Path) -> Iterator[Located]:
    readable = _Readable(path)
    with closing(iter(readable)) as lines:  # where it breaks off, the file does not stay open
        reader = csv.DictReader(lines, strict=True)
        try:
            if twice := _repeated(filter(None, reader.fieldnames or ())):
                raise CorpusError(f"{path}:1: the column {twice!r} is there twice; one would be lost")
            columns = len(reader.fieldnames or ())
        except csv.Error as error:
            raise CorpusError(f"{path}:{reader.line_num + 1}: broken CSV: {error}") from error
        if broken := readable.broken():
            raise CorpusError(f"{broken}, in the header line")
        while True:
            try:
                record = next(reader)
                place = f"{path}:{reader.line_num}"
                broken = readable.broken()
                yield place, partial(_raise, broken) if broken else partial(_parse_row, place, record, columns)
            except StopIteration:
                return
            except csv.Error as error:  # those after it can still be read
                place = f"{path}:{reader.line_num + 1}"
                broken = readable.broken() or CorpusError(f"{place}: broken CSV: {error}")
                yield place, partial(_raise, broken)


def _parse_row(place: str, record: dict[str, Any], columns: int) -> Record:
    if None in (*record, *record.values()):
        raise CorpusError(f"{place}: expected {columns} columns as in the header line")
    return record


MARKDOWN = (".md", ".markdown", ".mdown", ".mkd", ".mkdn", ".mdx", ".mdwn", ".mdtxt", ".qmd", ".rmd")
READERS: dict[str, Callable[[Path], Iterator[Located]]] = {
    **dict.fromkeys(MARKDOWN, _read_markdown),
    ".txt": _read_text,
    ".text": _read_text,
    ".rst": _read_restructured,
    ".html": _read_html,
    ".htm": _read_html,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": _read_csv,
}

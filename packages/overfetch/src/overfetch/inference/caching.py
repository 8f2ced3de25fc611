"""Scores that were computed before: a reworded page costs one run, a repeated question none.

In memory, and where a file is named also there, for all processes that name it.
"""

import logging
import math
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from cachetools import LRUCache

from overfetch.figures import REMEMBERED, SCORES
from overfetch.forking import ProcessLock, starting_over
from overfetch.inference.windows import longest_first
from overfetch.models import ModelSpec

log = logging.getLogger(__name__)

FILE_ENTRIES = 1_000_000  # some 60 MB; the oldest go first
PATIENCE_S = 1.0  # for another process that writes

Key = tuple[str, int, bool | None, bytes, bytes]


class Scored(NamedTuple):
    """A raw logit, and how many tokens of the pair it did not see."""

    logit: float
    cut: int


Scores = Mapping[Key, Scored]


class ScoreCache:
    """The scores used last, by model, how it reads, and what query and passage say. Safe to share between threads."""

    def __init__(self, entries: int, file: "ScoreFile | None" = None) -> None:
        self._entries = entries
        self._file = file
        self._lock = ProcessLock()
        self.start_over()
        starting_over(self)

    def start_over(self) -> None:
        """Empty: another thread may have been half way through a change."""
        self._scores: LRUCache[Key, Scored] = LRUCache(max(1, self._entries))

    def find(self, keys: Sequence[Key], others: Sequence[Key] = ()) -> list[Scored | None]:
        """Under its key, or else under the other one of the same place."""
        with self._lock:
            known = {key: self._scores.get(key) for key in (*keys, *others)}
        missing = [key for key, scored in known.items() if scored is None]
        if self._file is not None and missing:
            known |= self._file.find(missing)
        found = [known[key] or (known[other] if other else None) for key, other in zip_longest(keys, others)]
        SCORES.add(len(keys))
        REMEMBERED.add(sum(scored is not None for scored in found))
        return found

    def keep(self, scores: Scores) -> None:
        """A score that is no finite number is none to remember."""
        scores = {key: scored for key, scored in scores.items() if math.isfinite(scored.logit)}
        if self._entries > 0:
            with self._lock:
                self._scores.update(scores)
        if self._file is not None and scores:
            self._file.keep(scores)


class RememberingFile:
    """A table of a file of SQLite, made on first use; the rows written last are kept.

    Each call opens it anew, a tenth of a millisecond: nothing is shared between threads or with forked processes.
    """

    make: ClassVar[str]
    bound: ClassVar[str]

    def __init__(self, path: Path, entries: int) -> None:
        self.path = path
        self._entries = entries

    def _write(self, insert: str, rows: Sequence[Sequence[object]]) -> None:
        """Raises sqlite3.Error and OSError."""
        if self._is_read_only():
            return
        with closing(self._open()) as file, file:
            file.executemany(insert, rows)
            file.execute(self.bound, [self._entries])

    def _read(self, query: str, values: Sequence[object]) -> list[Any]:
        """Raises sqlite3.Error and OSError."""
        with closing(self._open_to_read()) as file:
            return file.execute(query, values).fetchall()

    def _is_read_only(self) -> bool:
        return self.path.is_file() and not all(os.access(path, os.W_OK) for path in (self.path, self.path.parent))

    def _open_to_read(self) -> sqlite3.Connection:
        if self._is_read_only():
            return sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        return self._open()

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(self.path, timeout=PATIENCE_S)
        try:
            file.execute("PRAGMA journal_mode=WAL")
            file.execute(self.make)
        except sqlite3.Error:  # damaged, full, locked
            file.close()
            raise
        return file


class ScoreFile(RememberingFile):
    """Scores in a file; one that fails costs runs, never an answer."""

    # Beside the table `scores` of earlier versions, whose rows nothing vouches for.
    make = "CREATE TABLE IF NOT EXISTS checked (key BLOB UNIQUE, logit REAL, cut INTEGER, digest BLOB)"
    bound = "DELETE FROM checked WHERE rowid <= (SELECT max(rowid) FROM checked) - ?"

    def __init__(self, path: Path, entries: int = FILE_ENTRIES) -> None:
        super().__init__(path, entries)

    def find(self, keys: Sequence[Key]) -> Scores:
        by_digest = {digest_of(repr(key)): key for key in keys}
        places = ",".join("?" * len(by_digest))
        query = f"SELECT key, logit, cut, digest FROM checked WHERE key IN ({places})"
        try:
            found = self._read(query, list(by_digest))
        except (sqlite3.Error, OSError) as error:
            log.warning("no remembered scores from %s: %s", self.path, error)
            return {}
        return {by_digest[row[0]]: Scored(row[1], row[2]) for row in found if _is_whole(*row)}

    def keep(self, scores: Scores) -> None:
        digests = {digest_of(repr(key)): scored for key, scored in scores.items()}
        rows = [(digest, *scored, _row_digest(digest, *scored)) for digest, scored in digests.items()]
        try:
            self._write("INSERT OR REPLACE INTO checked VALUES (?, ?, ?, ?)", rows)
        except (sqlite3.Error, OSError) as error:
            log.warning("scores are not remembered in %s: %s", self.path, error)


def keys_of(spec: ModelSpec, query: str, passages: Sequence[str], windows: bool) -> list[Key]:
    """By how much is read: the first window, and whether others are (None: those that a budget allows)."""
    most, asked = longest_first(spec.max_tokens, spec.read_tokens, len(passages)), digest_of(query)
    read = None if windows and spec.read_tokens else windows
    return [(spec.identity, most, read, asked, digest_of(passage)) for passage in passages]


def keys_in_list(spec: ModelSpec, keys: Sequence[Key]) -> list[Key]:
    """Of passages in windows, of which the others of the list decide, within a budget of tokens, how many are read."""
    together = digest_of(repr((spec.read_tokens, keys)))
    return [(*key[:-1], key[-1] + together) for key in keys] if spec.read_tokens else []


def _is_whole(key: bytes, logit: object, cut: object, digest: object) -> bool:
    """Whether a row is as it was written: a damaged score would look like any other."""
    numbers = isinstance(logit, float) and math.isfinite(logit) and isinstance(cut, int)
    return numbers and digest == _row_digest(key, logit, cut)


def _row_digest(key: bytes, logit: object, cut: object) -> bytes:
    return blake2b(repr((key, logit, cut)).encode(), digest_size=8, key=b"overfetch score").digest()


def digest_of(text: str) -> bytes:
    """16 bytes (BLAKE2b), of any text that Python can hold."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@cache
def shared_cache(entries: int, file: Path | None) -> ScoreCache:
    """The one of this process with room for so many scores, and that file."""
    return ScoreCache(entries, None if file is None else ScoreFile(file))

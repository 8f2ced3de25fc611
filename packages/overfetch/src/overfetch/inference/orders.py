"""Orders that a language model gave before: of the same list, for the same question, they are not asked for again.

Beside the remembered scores (`caching.py`), in memory and in the same file, and never mixed with them.
"""

import logging
import sqlite3
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path

from cachetools import LRUCache

from overfetch.forking import ProcessLock, starting_over
from overfetch.inference.caching import RememberingFile, digest_of
from overfetch.protocols import ListOrder, ListReranker
from overfetch.types import LanguageModel

log = logging.getLogger(__name__)

FILE_ORDERS = 50_000  # some 10 MB; the oldest go first


class Remembering:
    """A ListReranker around another one; whatever may change its order is part of what is remembered by."""

    def __init__(self, lister: ListReranker, lm: LanguageModel, memory: "OrderCache") -> None:
        self._lister = lister
        self._asked = (lm.api_base, lm.max_tokens, lm.token_budget)
        self._memory = memory

    @property
    def identity(self) -> str:
        return self._lister.identity

    def warm_up(self) -> None:
        self._lister.warm_up()

    def order(self, query: str, passages: Sequence[str], deadline: float | None = None, parts: int = 1) -> ListOrder:
        key = digest_of(repr((self.identity, self._asked, parts, query, [*passages])))
        found = self._memory.find(key)
        if found is None:
            found = self._lister.order(query, passages, deadline, parts)
            self._memory.keep(key, found)
        return found


class OrderCache:
    """The orders used last; each takes the room of as many scores as it has places. Safe to share between threads."""

    def __init__(self, places: int, file: "OrderFile | None" = None) -> None:
        self._places = places
        self._file = file
        self._lock = ProcessLock()
        self.start_over()
        starting_over(self)

    def start_over(self) -> None:
        """Empty: another thread may have been half way through a change."""
        self._orders: LRUCache[bytes, ListOrder] = LRUCache(self._places, getsizeof=lambda order: len(order.places))

    def find(self, key: bytes) -> ListOrder | None:
        with self._lock:
            found: ListOrder | None = self._orders.get(key)
        return found if found is not None or self._file is None else self._file.find(key)

    def keep(self, key: bytes, order: ListOrder) -> None:
        with self._lock:
            if len(order.places) <= self._places:
                self._orders[key] = order
        if self._file is not None:
            self._file.keep(key, order)


class OrderFile(RememberingFile):
    """Orders in a file; one that fails costs calls, never an answer."""

    make = (
        "CREATE TABLE IF NOT EXISTS orders (key BLOB UNIQUE, places TEXT, repaired INTEGER, cut INTEGER, digest BLOB)"
    )
    bound = "DELETE FROM orders WHERE rowid <= (SELECT max(rowid) FROM orders) - ?"

    def __init__(self, path: Path, orders: int = FILE_ORDERS) -> None:
        super().__init__(path, orders)

    def find(self, key: bytes) -> ListOrder | None:
        try:
            found = self._read("SELECT places, repaired, cut, digest FROM orders WHERE key = ?", [key])
        except (sqlite3.Error, OSError) as error:
            log.warning("no remembered orders from %s: %s", self.path, error)
            return None
        if not found or found[0][3] != _row_digest(key, *found[0][:3]):  # a damaged order would look like any other
            return None
        places, repaired, cut, _ = found[0]
        return ListOrder(tuple(map(int, places.split())), repaired, cut)

    def keep(self, key: bytes, order: ListOrder) -> None:
        row = (" ".join(map(str, order.places)), order.repaired, order.truncated_tokens)
        try:
            self._write("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?)", [(key, *row, _row_digest(key, *row))])
        except (sqlite3.Error, OSError) as error:
            log.warning("orders are not remembered in %s: %s", self.path, error)


def _row_digest(key: bytes, places: object, repaired: object, cut: object) -> bytes:
    return blake2b(repr((key, places, repaired, cut)).encode(), digest_size=8, key=b"overfetch order").digest()


@cache
def shared_orders(places: int, file: Path | None) -> OrderCache:
    """The one of this process with room for so many places, and that file."""
    return OrderCache(places, None if file is None else OrderFile(file))

"""Scores that were computed before, in memory: a reworded page costs one run, a repeated question none."""

import threading
from collections.abc import Sequence
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

from cachetools import LRUCache

from overfetch.settings import ModelSpec

Key = tuple[str, int, bool, bytes, bytes]


class Scored(NamedTuple):
    """A raw logit, and how many tokens of the pair it did not see."""

    logit: float
    cut: int


class ScoreCache:
    """The scores used last, by model, its limit, and what query and passage say. Safe to share between threads."""

    def __init__(self, entries: int) -> None:
        self._scores: LRUCache[Key, Scored] = LRUCache(max(1, entries))
        self._enabled = entries > 0
        self._lock = threading.Lock()

    def find(self, keys: Sequence[Key]) -> list[Scored | None]:
        with self._lock:
            return [self._scores.get(key) for key in keys]

    def keep(self, key: Key, scored: Scored) -> None:
        if self._enabled:
            with self._lock:
                self._scores[key] = scored


def keys_of(spec: ModelSpec, query: str, passages: Sequence[str], windows: bool) -> list[Key]:
    asked = _digest(query)
    return [(spec.identity, spec.max_tokens, windows, asked, _digest(passage)) for passage in passages]


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


@cache
def shared_cache(entries: int) -> ScoreCache:
    """The one of this process with room for so many scores."""
    return ScoreCache(entries)

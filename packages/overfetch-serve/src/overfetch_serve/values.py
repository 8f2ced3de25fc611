"""What there is to choose from: the values of keyword fields, and questions to begin with."""

from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import cast

from overfetch.errors import CollectionMissing, CorpusError
from overfetch.judged import JudgedQuery, read_judged_queries
from overfetch.protocols import Generation, Store, ValueCount

MOST_VALUES = 200
COUNTED_FIELDS = 1_024  # of all collections and the generations that were asked for
EXAMPLES = 3
SPLITS = ("dev", "test")


class CountedValues:
    """Of each generation every field is counted once. Safe to share between threads."""

    def __init__(self) -> None:
        self._count = lru_cache(COUNTED_FIELDS)(_count)

    def of(self, store: Store, collection: str, field: str) -> tuple[ValueCount, ...]:
        """The commonest, one more than are shown at most; none where what is indexed has no such field.

        Raises CollectionMissing.
        """
        live = live_generation(store, collection)
        if live is None:
            raise CollectionMissing(f"collection {collection!r} is not indexed yet: overfetch index {collection}")
        made = live.provenance
        if made is None or (made.filters is not None and field not in made.filters):
            return ()
        # On a server, what is written in place keeps its name.
        return self._count(cast(Hashable, store), collection, field, (live.name, made.created, made.corpus_hash))


def _count(store: Store, collection: str, field: str, _generation: tuple[str | None, ...]) -> tuple[ValueCount, ...]:
    return tuple(store.values(collection, field, MOST_VALUES + 1))


def live_generation(store: Store, collection: str) -> Generation | None:
    """The one that is searched; None where nothing is indexed yet."""
    return next((generation for generation in store.generations(collection) if generation.state == "live"), None)


@lru_cache(maxsize=256)
def examples(judged: Path | None) -> tuple[str, ...]:
    """The first judged queries that ask for no dates; none where there are none that can be read."""
    unbounded = [query.text for query in _judged(judged) if not (query.as_of or query.start or query.end)]
    return tuple(unbounded[:EXAMPLES])


def _judged(folder: Path | None) -> tuple[JudgedQuery, ...]:
    for split in SPLITS:
        if folder is None:
            break
        try:
            return read_judged_queries(folder, split).queries
        except (CorpusError, OSError):
            continue
    return ()

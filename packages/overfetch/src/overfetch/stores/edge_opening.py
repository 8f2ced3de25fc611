"""Opening a published generation of a Qdrant Edge collection: it is the one that was published, and whole."""

from typing import NamedTuple

from qdrant_edge import CountRequest, EdgeShard, FacetRequest

from overfetch.errors import OverfetchError, StoreError
from overfetch.protocols import ValueCount, Verified
from overfetch.provenance import Provenance
from overfetch.stores.edge_generations import GenerationFolder
from overfetch.stores.edge_writing import read_hashes, translated
from overfetch.stores.payloads import field_key
from overfetch.stores.private import PrivateCopy, can_be_opened
from overfetch.stores.resident import let_go
from overfetch.stores.room import require_room
from overfetch.stores.sealing import find_damage

SMALL = 10_000  # passages: without a graph, whose pages are better in memory before they are walked

Key = tuple[str, str | None]


class Opened(NamedTuple):
    """A generation as it was opened, what made it, its shard, and the copy of it where it lies in one."""

    key: Key
    made: Provenance
    shard: EdgeShard
    copied: PrivateCopy | None


def key_of(generation: GenerationFolder) -> Key:
    """A name may come again where somebody removed the folder; an identity does not."""
    return generation.name, generation.identity


def open_generation(collection: str, generation: GenerationFolder) -> Opened:
    """Raises StoreError where it is another collection's, another one, or holds another number of passages."""
    generation.require_own(collection)
    made = generation.read_provenance(collection)
    shard, copied = _load(generation)
    held = count(shard)
    if made.passages not in (None, held):
        shard.close()
        raise StoreError(
            f"{generation.path} is damaged: it holds {held} passages of {made.passages}. Go back to the one before: "
            f"overfetch rollback {collection}, or build it anew: overfetch index {collection} --rebuild --source PATH"
        )
    if held < SMALL:
        let_go(copied.shard if copied else generation.path)
    return Opened(key_of(generation), made, shard, copied)


def _load(generation: GenerationFolder) -> tuple[EdgeShard, PrivateCopy | None]:
    if generation.shard.exists() and not can_be_opened(generation.shard, generation.lock):
        copied = PrivateCopy(generation.shard)
        return EdgeShard.load(str(copied.shard)), copied
    require_room(generation.path, 0, "cannot open the generation")
    with generation.opening():
        return EdgeShard.load(str(generation.shard)), None


def count(shard: EdgeShard) -> int:
    return shard.count(CountRequest(exact=True))


def count_values(shard: EdgeShard, field: str, limit: int) -> list[ValueCount]:
    found = shard.facet(FacetRequest(field_key(field), limit=limit))
    return [ValueCount(value=str(hit.value), passages=hit.count) for hit in found.hits]


def require_whole(collection: str, generation: GenerationFolder) -> None:
    """Raises StoreError unless the generation opens and holds what it held when it was published."""
    generation.require_own(collection)
    made = generation.read_provenance(collection)
    shard, _copied = _load(generation)
    held = made.holding(read_hashes(shard), made.recall)
    shard.close()
    if made.corpus_hash not in (None, held.corpus_hash):
        raise StoreError(f"it holds {held.passages} passages, {made.passages} expected, or others than were published")


def verify(collection: str, generation: GenerationFolder) -> Verified:
    """Every file as it was sealed, every passage as it was published."""
    problem, sealed = None, False
    try:
        with translated(f"cannot open {generation.path}"):
            seal = generation.require_own(collection)
            sealed = seal is not None
            problem = find_damage(seal, generation.shard) if seal else None
            if problem is None:
                require_whole(collection, generation)
    except OverfetchError as error:
        problem = str(error)
    return Verified(name=generation.name, problem=problem, sealed=sealed)

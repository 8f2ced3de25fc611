"""What of a corpus is new, changed or gone, and which stored vectors may be taken over."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from overfetch.protocols import EncodedPassage
from overfetch.types import Passage, reading_digest

READING = len(reading_digest(""))  # of a content hash: the part about what the models read


class Vectors(NamedTuple):
    """Stored passages whose vectors may be taken over: `places` say where, by the digest of what the models read."""

    read: Callable[[Sequence[str]], Sequence[EncodedPassage]]
    places: Mapping[str, str]

    def of(self, passages: Sequence[Passage]) -> Mapping[str, EncodedPassage]:
        """By what the models read: those that are there. A place written over meanwhile has something else."""
        digests = {reading_digest(p.reading) for p in passages} & self.places.keys()
        stored = self.read([self.places[digest] for digest in digests]) if digests else ()
        return {one.passage.reading: one for one in stored}


class Difference:
    """Between stored content hashes, by passage id, and a corpus that is told document by document.

    `stale` begins as all that is stored and ends as what the corpus has no more. `vacated` says which place held
    what the models read, by its digest, where something else is there now, or nothing.
    """

    def __init__(self, stored: dict[str, str]) -> None:
        self.stale = stored
        self.vacated: dict[str, str] = {}
        self.documents = self.added = self.changed = self.kept = 0
        self._written: list[str] = []

    def of(self, passages: Iterable[Passage]) -> list[Passage]:
        """Those of one document's passages that are new or changed."""
        self.documents += 1
        return [p for p in passages if self._is_new(p.id, p.content_hash)]

    def _is_new(self, passage_id: str, content_hash: str) -> bool:
        stored = self.stale.pop(passage_id, None)
        if stored == content_hash:
            self.kept += 1
            return False
        if stored is None:
            self.added += 1
        else:
            self.changed += 1
            self.vacated[stored[:READING]] = passage_id
        if self.vacated or self.stale:  # else nothing can have moved
            self._written.append(content_hash[:READING])
        return True

    def close(self) -> "Difference":
        """The corpus is told."""
        self.vacated |= {content_hash[:READING]: i for i, content_hash in self.stale.items()}
        self.moved = sum(reading in self.vacated for reading in self._written)
        self._written.clear()
        return self

    @property
    def writes(self) -> int:
        return self.added + self.changed


def of_documents(hashes: Mapping[str, str], document_ids: Sequence[str]) -> dict[str, str]:
    """Those of the passages of these documents: each has its first ones without a gap."""
    found: dict[str, str] = {}
    for document_id in document_ids:
        ids = (Passage.id_of(document_id, place) for place in itertools.count())
        found |= {i: hashes[i] for i in itertools.takewhile(hashes.__contains__, ids)}
    return found

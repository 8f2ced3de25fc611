"""What a collection holds: its passages by their own id or by their document's."""

from collections.abc import Sequence
from uuid import UUID

from overfetch.citations import was_known
from overfetch.errors import SettingsError
from overfetch.protocols import Store
from overfetch.types import AsOf, Passage

PAGE = 256


def find_passages(store: Store, collection: str, wanted: str, as_of: AsOf | None = None) -> list[Passage]:
    """The passage of that id, or all of the document of that id, in order; what was not known `as_of` is not there.

    Raises CollectionMissing, and SettingsError where there is neither.
    """
    passage = find_passage(store, collection, wanted)
    there = [passage] if passage else _of_document(store, collection, wanted)
    found = [passage for passage in there if as_of is None or was_known(passage, as_of)]
    if not found:
        raise SettingsError(f"{collection} has neither a passage nor a document {wanted!r}")
    return found


def find_passage(store: Store, collection: str, passage_id: str) -> Passage | None:
    """None where there is none of that id, whatever the id is. Raises CollectionMissing."""
    found = store.find(collection, [passage_id]) if _is_passage_id(passage_id) else []
    return found[0] if found else None


def unknown_documents(store: Store, collection: str, document_ids: Sequence[str]) -> list[str]:
    """Those of which nothing is stored: each document has a first passage. Raises CollectionMissing."""
    unknown: list[str] = []
    for start in range(0, len(document_ids), PAGE):
        asked = {Passage.id_of(d, 0): d for d in document_ids[start : start + PAGE]}
        for passage in store.find(collection, list(asked)):
            del asked[passage.id]
        unknown += asked.values()
    return unknown


def _of_document(store: Store, collection: str, document_id: str) -> list[Passage]:
    found: list[Passage] = []
    while True:
        places = range(len(found), len(found) + PAGE)
        page = store.find(collection, [Passage.id_of(document_id, place) for place in places])
        found += sorted(page, key=lambda passage: passage.position)
        if len(page) < PAGE:
            return found


def _is_passage_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False

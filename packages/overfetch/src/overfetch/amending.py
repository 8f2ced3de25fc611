"""Some documents of a collection added, replaced or removed; no other is touched."""

from collections.abc import Sequence
from typing import TypedDict, Unpack

from overfetch import indexing
from overfetch.gate import Gate
from overfetch.indexing import IndexReport, Progress
from overfetch.protocols import Embedder, Store
from overfetch.provenance import Provenance, require_match
from overfetch.settings import require_list
from overfetch.sites import Collection
from overfetch.types import Document


class AmendOptions(TypedDict, total=False):
    """As of `Engine.index`."""

    dry_run: bool
    accept_loss: bool
    progress: Progress


def amend(
    name: str,
    collection: Collection,
    documents: Sequence[Document],
    document_ids: Sequence[str],
    *,
    store: Store,
    embedder: Embedder,
    **options: Unpack[AmendOptions],
) -> IndexReport:
    """Of the documents with these ids `documents` are stored, and the others removed.

    Raises SettingsError where the ids are no list, CollectionMissing, ProvenanceMismatch, StoreLocked and RecallLoss.
    """
    require_list("document_ids", document_ids, "ids")
    stored = store.provenance(name)
    provenance = Provenance.of(embedder.spec, collection.chunker, stored.source, collection.filters, collection.bm25)
    # Else the other documents would be filtered by fields, or weighed by terms, that they were not made for.
    require_match(name, stored, provenance, ["sparse_tokenizer", *(["filters"] if stored.filters is not None else [])])
    return indexing.index(
        name,
        collection,
        lambda: documents,
        store=store,
        embedder=embedder,
        provenance=provenance,
        document_ids=document_ids,
        dry_run=options.get("dry_run", False),
        progress=options.get("progress", lambda done, total: None),
        gate=Gate(name, collection, embedder, accept_loss=options.get("accept_loss", False)),
    )

"""The whole write path on one page: chunk, compare, embed what is new or changed, delete what is stale."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from overfetch.chunking import require_chunks
from overfetch.errors import CollectionMissing, CorpusError, SettingsError
from overfetch.filters import Schema, comparable
from overfetch.protocols import Embedder, EncodedPassage, Store
from overfetch.provenance import SAMPLE, WRITE_FIELDS, Provenance, require_match
from overfetch.sites import Collection
from overfetch.sparse import embed_sparse_passage
from overfetch.types import Document, Frozen, Passage

BATCH = 256
Progress = Callable[[int, int], None]
Passages = Mapping[str, Passage]


class IndexReport(Frozen):
    """What a run did, or with `dry_run` would do, in passages.

    `truncated_tokens` lie beyond the embedder's limit in what was embedded: BM25 and the reranker may see them. None
    where a remote server does not say how many.
    """

    collection: str
    documents: int
    added: int
    changed: int
    removed: int
    kept: int
    embedded: int
    truncated_tokens: int | None
    dry_run: bool = False


class Difference(Frozen):
    """Ids of the passages to write and to delete."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    kept: int

    @classmethod
    def between(cls, stored: Mapping[str, str], wanted: Passages) -> "Difference":
        """Compares content hashes."""
        changed = [i for i, p in wanted.items() if i in stored and stored[i] != p.content_hash]
        return cls(
            added=tuple(i for i in wanted if i not in stored),
            changed=tuple(changed),
            removed=tuple(i for i in stored if i not in wanted),
            kept=len(stored.keys() & wanted.keys()) - len(changed),
        )

    @property
    def writes(self) -> tuple[str, ...]:
        return self.added + self.changed


def index(
    name: str,
    collection: Collection,
    documents: Sequence[Document],
    *,
    store: Store,
    embedder: Embedder,
    provenance: Provenance,
    rebuild: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> IndexReport:
    """Makes the stored collection equal to `documents`; a second run embeds and writes nothing.

    Raises ProvenanceMismatch unless `rebuild`, StoreLocked, and SettingsError where the sample corpus would
    replace a real one. On any error the published collection stays as it was, but for a compatible change on a
    server, which is upserted in place and finished by the next run.
    """
    _require_allowed(name, store, provenance, rebuild, collection)
    passages = {p.id: p for document in documents for p in to_passages(collection, document)}
    difference = Difference.between({} if rebuild else store.hashes(name), passages)
    embedded, truncated = 0, list[int | None]()
    if not dry_run and (rebuild or difference.writes or difference.removed):
        with store.write(name, provenance, collection.filters, rebuild=rebuild) as writer:
            difference = Difference.between(writer.hashes(), passages)
            for batch in _batches(difference.writes):
                writer.upsert(encode([passages[i] for i in batch], embedder))
                truncated.append(embedder.count_truncated([passages[i].reading for i in batch]))
                embedded += len(batch)
                progress(embedded, len(difference.writes))
            writer.delete(difference.removed)
    return IndexReport(
        collection=name,
        documents=len(documents),
        added=len(difference.added),
        changed=len(difference.changed),
        removed=len(difference.removed),
        kept=difference.kept,
        embedded=embedded,
        truncated_tokens=None if None in truncated else sum(filter(None, truncated)),
        dry_run=dry_run,
    )


def to_passages(collection: Collection, document: Document) -> list[Passage]:
    """Raises CorpusError where a chunk's metadata cannot be filtered as the collection says."""
    chunks = require_chunks(document, collection.chunk(document))
    return [_filterable(Passage.of(document, n, chunk), collection.filters) for n, chunk in enumerate(chunks)]


def _filterable(passage: Passage, schema: Schema) -> Passage:
    try:
        return passage.model_copy(update={"filters": comparable(passage.metadata, schema)})
    except SettingsError as error:
        raise CorpusError(f"document {passage.document_id!r}: {error}") from error


def encode(passages: Sequence[Passage], embedder: Embedder) -> list[EncodedPassage]:
    """Dense and sparse vectors of what the models read of each passage."""
    texts = [p.reading for p in passages]
    vectors = embedder.embed_passages(texts)
    return [
        EncodedPassage(passage, vector, embed_sparse_passage(text))
        for passage, vector, text in zip(passages, vectors, texts, strict=True)
    ]


def _require_allowed(name: str, store: Store, provenance: Provenance, rebuild: bool, collection: Collection) -> None:
    try:
        stored = store.provenance(name)
    except CollectionMissing:
        return
    if provenance.source == SAMPLE != stored.source:
        raise SettingsError(
            f"collection {name!r} was indexed from {stored.source!r}; the sample corpus would replace it. "
            f"Pass --source {stored.source} to bring it up to date, or --source {collection.sample} for the sample"
        )
    if not rebuild:
        require_match(name, stored, provenance, WRITE_FIELDS)


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + BATCH] for start in range(0, len(ids), BATCH))

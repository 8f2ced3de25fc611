"""The whole write path on one page: chunk, compare, embed what is new or changed, delete what is stale.

The source is read twice, as a stream: first without a model, so that all of it is checked before anything is
written, then to write. Of a corpus, only ids and hashes are kept in memory, however large it is.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from pydantic import Field

from overfetch.bm25 import Bm25
from overfetch.chunking import require_chunks
from overfetch.corpus import Skipped
from overfetch.cutting import Cut
from overfetch.difference import READING, Difference, Vectors, of_documents
from overfetch.errors import CollectionMissing, CorpusError, OverfetchError, SettingsError, StoreError
from overfetch.filters import Schema, comparable
from overfetch.partitions import Partition
from overfetch.protocols import Copied, Embedder, EncodedPassage, Store, Writer
from overfetch.provenance import (
    SAMPLE,
    WRITE_FIELDS,
    Provenance,
    RecallChange,
    require_match,
    says_otherwise,
    source_options,
    weighs_otherwise,
)
from overfetch.sites import Collection
from overfetch.sparse import DEFAULT, embed_sparse_passage
from overfetch.types import Chunk, Document, Frozen, Passage

BATCH = 256
LONGEST = 5  # documents to name
NOTHING: Mapping[str, EncodedPassage] = {}

Read = Callable[[], Iterable[Document]]
Gate = Callable[[Store, Writer, Provenance], RecallChange | None]
Progress = Callable[[int, int | None], None]
"""Called with what is done and what there is to do, which is None while the source is still being counted."""


class IndexReport(Frozen):
    """What a run did, or with `dry_run` would do, in passages.

    `moved` of those added and changed need no embedding: only their place or metadata are new. `embedded` went
    through the model in this run: fewer where a killed run left its part. `truncated_tokens` of them lie beyond the
    embedder's limit: BM25 and the reranker may see those; None where a remote server does not say how many.
    `longest` are the documents that most of them are in, with their number.
    `copied` is the cost of beginning with a copy of the last generation, `recall` what the judged queries found.
    `skipped` says of everything that was left out where it stands and why.
    """

    collection: str
    documents: int
    added: int
    changed: int
    removed: int
    kept: int
    moved: int
    embedded: int
    truncated_tokens: int | None
    longest: tuple[tuple[str, int], ...] = Field(default=(), exclude=True)
    dry_run: bool = False
    copied: Copied | None = None
    recall: RecallChange | None = None
    skipped: tuple[str, ...] = ()


def index(
    name: str,
    collection: Collection,
    read: Read,
    *,
    store: Store,
    embedder: Embedder,
    provenance: Provenance,
    rebuild: bool = False,
    dry_run: bool = False,
    partition: Partition | None = None,
    document_ids: Sequence[str] | None = None,
    progress: Progress = lambda done, total: None,
    gate: Gate = lambda store, writer, provenance: None,
    skipped: Skipped | None = None,
) -> IndexReport:
    """Makes the stored collection equal to what `read` gives, or its `partition`; a second run embeds nothing.

    With `document_ids`, `read` gives some of these documents: those are stored as they are given, the others of the
    ids removed, and no other document is touched, not even by what a killed or refused run left.
    `skipped` is told of a document whose passages cannot be stored, or raises. `gate` may refuse what was written.
    Where nothing but BM25's weights differs, terms are weighed anew in a generation that takes the vectors over.
    Raises ProvenanceMismatch unless `rebuild`, StoreLocked, and SettingsError where the sample corpus would replace a
    real one, or for a partition in process or with `rebuild`. Whatever `read` raises, it raises before anything is
    written. On any other error the published collection stays as it was, but for a compatible change on a server,
    which is upserted in place and finished by the next run.
    """
    if partition is not None:
        store, read = _only(partition, store, read, rebuild)
    stored = _require_allowed(name, store, provenance, rebuild, collection, part=partition is not None)
    outdated = stored is not None and says_otherwise(stored, provenance)
    reweighs = stored is not None and not rebuild and weighs_otherwise(stored, provenance)
    skipped = skipped or Skipped()

    def concerned(hashes: dict[str, str]) -> dict[str, str]:
        return hashes if document_ids is None else of_documents(hashes, document_ids)

    before = {} if rebuild else concerned(store.hashes(name))
    places = {content_hash[:READING]: i for i, content_hash in before.items()} if reweighs else {}
    found = _compare(before, _passages_of(collection, read(), skipped), progress)
    if skipped.bad and not found.documents and partition is None:
        raise CorpusError(f"{name}: every document was left out, such as {skipped.reasons[0]}")
    embedded, cut = 0, Cut()
    copied = recall = None
    if not dry_run and (rebuild or reweighs or outdated or found.writes or found.stale):
        anew, resume = rebuild or reweighs, document_ids is None
        with store.write(name, provenance, collection.filters, rebuild=anew, resume=resume) as writer:
            known = Vectors(partial(store.read, name), places) if reweighs else Vectors(writer.read, found.vacated)
            total = found.writes + found.kept if reweighs else found.writes
            difference = Difference(concerned(writer.hashes()))
            passages = _passages_of(collection, read(), skipped)
            embedded, cut = _write(writer, difference, passages, embedder, collection.bm25, known, total, progress)
            copied = writer.copied
            recall = gate(store, writer, provenance) if partition is None else None
    return IndexReport(
        collection=name,
        documents=found.documents,
        added=found.added,
        changed=found.changed,
        removed=len(found.stale),
        kept=found.kept,
        moved=found.moved,
        embedded=embedded,
        truncated_tokens=cut.total,
        longest=tuple(cut.by_document.most_common(LONGEST)),
        dry_run=dry_run,
        copied=copied,
        recall=recall,
    )


def _only(partition: Partition, store: Store, read: Read, rebuild: bool) -> tuple[Store, Read]:
    if rebuild:
        raise SettingsError(
            f"partition {partition} cannot be rebuilt alone: a rebuild is one new collection beside the old one. "
            "Leave out --partition, or --rebuild"
        )
    return store.only(partition), lambda: (d for d in read() if partition.holds(d.id))


def _passages_of(
    collection: Collection, documents: Iterable[Document], skipped: Skipped
) -> Iterator[Sequence[Passage]]:
    """Document by document."""
    for document in documents:
        try:
            yield to_passages(collection, document)
        except CorpusError as error:
            skipped.broken(error)


def _compare(stored: dict[str, str], documents: Iterable[Sequence[Passage]], progress: Progress) -> Difference:
    difference = Difference(stored)
    for passages in documents:
        difference.of(passages)
        progress(difference.writes + difference.kept, None)
    return difference.close()


def _write(
    writer: Writer,
    difference: Difference,
    documents: Iterable[Sequence[Passage]],
    embedder: Embedder,
    bm25: Bm25,
    known: Vectors,
    total: int,
    progress: Progress,
) -> tuple[int, Cut]:
    """How many passages it embedded, and what of them was beyond the model's limit; `total` there are to write."""
    embedded, cut = 0, Cut()
    for passages in _groups(documents, difference):
        moved = known.of(passages)
        for batch in _batches(passages):
            fresh = [p for p in batch if p.reading not in moved]
            writer.upsert(encode(batch, embedder, moved, bm25))
            cut.count(fresh, embedder)
            embedded += len(fresh)
            progress(difference.writes, max(total, difference.writes))
    writer.delete(list(difference.stale))
    progress(total, total)
    return embedded, cut


def _groups(documents: Iterable[Sequence[Passage]], difference: Difference) -> Iterator[list[Passage]]:
    """What is to be written, in whole documents: what moves within one is read before it is written over."""
    group: list[Passage] = []
    for passages in documents:
        group += difference.of(passages)
        if len(group) >= BATCH:
            yield group
            group = []
    yield group


def to_passages(collection: Collection, document: Document) -> list[Passage]:
    """Raises CorpusError where the chunker fails, or a chunk's metadata cannot be filtered as the collection says."""
    try:
        chunks = require_chunks(document, collection.chunk(document))
    except OverfetchError:
        raise
    except Exception as error:  # whatever its code raises
        told = f"{type(error).__name__}: {error}"
        raise CorpusError(
            f"document {document.id!r}: chunk of collection {collection.name!r} failed: {told}"
        ) from error
    return [_filterable(Passage.of(document, n, chunk), chunk, collection.filters) for n, chunk in enumerate(chunks)]


def _filterable(passage: Passage, chunk: Chunk, schema: Schema) -> Passage:
    try:
        return passage.model_copy(update={"filters": comparable({**passage.metadata, **chunk.lookups}, schema)})
    except SettingsError as error:
        raise CorpusError(f"document {passage.document_id!r}: {error}") from error


def encode(
    passages: Sequence[Passage],
    embedder: Embedder,
    moved: Mapping[str, EncodedPassage] = NOTHING,
    bm25: Bm25 = DEFAULT,
) -> list[EncodedPassage]:
    """Dense and sparse vectors of what the models read of each passage; the dense ones of `moved` are taken over."""
    texts = [p.reading for p in passages if p.reading not in moved]
    vectors = iter(embedder.embed_passages(texts)) if texts else iter(())
    dense = [moved[p.reading].dense if p.reading in moved else next(vectors) for p in passages]
    return [
        EncodedPassage(p, vector, embed_sparse_passage(p.reading, bm25))
        for p, vector in zip(passages, dense, strict=True)
    ]


def _require_allowed(
    name: str, store: Store, provenance: Provenance, rebuild: bool, collection: Collection, *, part: bool
) -> Provenance | None:
    """What is stored now, where that can be read; a `part` is written beside others, so their terms weigh the same."""
    try:
        stored = store.provenance(name)
    except CollectionMissing:
        require_no_other_begun(name, store, provenance.source)
        return None
    except StoreError:  # another version of Overfetch wrote it, or it is damaged
        if rebuild:
            return None
        raise
    if provenance.source == SAMPLE != stored.source:
        raise SettingsError(
            f"collection {name!r} was indexed from {stored.source!r}; the sample corpus would replace it. "
            f"Pass{source_options(stored)} to bring it up to date, or --source {collection.sample} for the sample"
        )
    if not rebuild and (part or not weighs_otherwise(stored, provenance)):
        require_match(name, stored, provenance, WRITE_FIELDS)
    return stored


def require_no_other_begun(name: str, store: Store, source: str = SAMPLE) -> None:
    """Raises SettingsError where the sample corpus would take the place of what a run from another source began."""
    begun = [g.provenance for g in store.generations(name) if g.state == "unfinished" and g.provenance]
    if source == SAMPLE and begun and begun[0].source != SAMPLE:
        raise SettingsError(
            f"{name} is not indexed yet: a run from {begun[0].source!r} was interrupted. Go on with it: "
            f"overfetch index {name}{source_options(begun[0])}, or give it up: overfetch delete {name}"
        )


def _batches(passages: Sequence[Passage]) -> Iterator[Sequence[Passage]]:
    return (passages[start : start + BATCH] for start in range(0, len(passages), BATCH))

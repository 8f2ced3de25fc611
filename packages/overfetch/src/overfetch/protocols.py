"""The replaceable steps. One small protocol each; fakes live in `overfetch.testing`."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, Self

from overfetch.filters import Condition, Schema
from overfetch.models import ModelSpec
from overfetch.partitions import Partition
from overfetch.provenance import Provenance, Recall
from overfetch.settings import RetrievalSettings
from overfetch.types import Candidate, Frozen, Passage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]
else:
    Vectors = object  # numpy takes longer to import than all else here, and only models need it


class SparseVector(NamedTuple):
    """BM25 weights of the terms that occur, by term id."""

    indices: list[int]
    values: list[float]


class EncodedQuery(NamedTuple):
    """A query as the first stage takes it: dense of shape [dimension], and sparse terms."""

    dense: Vectors
    sparse: SparseVector


class EncodedPassage(NamedTuple):
    """A passage with its vectors, ready to be stored."""

    passage: Passage
    dense: Vectors
    sparse: SparseVector


class RerankScores(NamedTuple):
    """Raw logits of the first passages of the list, in its order; fewer than given if the deadline passed.

    `truncated_tokens` is None where a server read them and does not say what it cut, `tokens_read` where nobody counts.
    `remembered` were not read anew; `spec` is that of the model that read, where a reranker has another one too.
    """

    logits: list[float]
    truncated_tokens: int | None
    remembered: int = 0
    spec: ModelSpec | None = None
    tokens_read: int | None = None


class ListOrder(NamedTuple):
    """The places of the passages given, best first, each of them once.

    `repaired` counts what replies left out, named twice or made up; about so many tokens were cut off the passages.
    """

    places: tuple[int, ...]
    repaired: int
    truncated_tokens: int


class Found(NamedTuple):
    """What the first stage found, best first, and what made the generation that it searched."""

    candidates: list[Candidate]
    provenance: Provenance


class ValueCount(Frozen):
    """A value of a keyword field, and how many passages have it."""

    value: str
    passages: int


class Embedder(Protocol):
    """A bi-encoder. Prefixes and normalisation are its own business."""

    @property
    def spec(self) -> ModelSpec: ...

    def warm_up(self) -> None:
        """Loads and runs the model, so that the first request is not the slow one."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """float32 [len(texts), dimension], unit length.

        Raises DeadlineExceeded where a server does not give them in the time that `overfetch.scheduling` leaves.
        """

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """float32 [len(texts), dimension], unit length."""

    def count_truncated(self, passages: Sequence[str]) -> int | None:
        """Tokens beyond the model's limit, which no vector holds; None where a server does not say."""


class Reranker(Protocol):
    """A cross-encoder: reads query and passage jointly."""

    @property
    def spec(self) -> ModelSpec: ...

    def warm_up(self) -> None:
        """Loads and runs the model, so that the first request is not the slow one."""

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Scores in the order given until `deadline` (`time.monotonic()` seconds) passes."""


class LoadedReranker(Reranker, Protocol):
    """One whose model is loaded: readers of several budgets share it."""

    def within(self, tokens: int, /) -> Self:
        """It, reading so many tokens a query, 0: all."""


class ListReranker(Protocol):
    """A language model: orders passages as one list, and scores none."""

    @property
    def identity(self) -> str:
        """What provenance calls it."""

    def warm_up(self) -> None:
        """Loads what it takes to ask; asks nothing, which may cost money."""

    def order(self, query: str, passages: Sequence[str], deadline: float | None = None, parts: int = 1) -> ListOrder:
        """All of them, by `deadline` (`time.monotonic()` seconds); so many `parts` of one request share its budget.

        Raises OverfetchError where no order comes of it in time, or within the budget.
        """


class Copied(Frozen):
    """What it cost to begin with a copy of the last generation; `reflinked` copies share their blocks with it."""

    seconds: float
    bytes: int
    reflinked: bool


class Generation(Frozen):
    """One generation of a collection. `unfinished` is what a killed or refused run left for the next one.

    `bytes` on the disk and `passages` are None where the store cannot tell.
    """

    name: str
    state: Literal["live", "previous", "unfinished"]
    passages: int | None
    bytes: int | None
    provenance: Provenance | None


class Verified(Frozen):
    """Whether a generation is what was published. Without a seal, of an earlier version, only passages are compared."""

    name: str
    problem: str | None
    sealed: bool


class Writer(Protocol):
    """One collection being written; what it did is visible to readers once the context closes.

    `copied` tells what the beginning cost. `recall` is stored with the generation. `in_place`: readers see every
    change at once.
    """

    copied: Copied | None
    recall: Recall | None
    in_place: bool

    def hashes(self) -> dict[str, str]:
        """Content hash of every stored passage, by passage id."""

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        """Those of the passages that are stored, with their vectors, in any order."""

    def upsert(self, passages: Sequence[EncodedPassage]) -> None: ...

    def delete(self, passage_ids: Sequence[str]) -> None: ...

    def search(
        self, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        """As the store will search once this is published; the search index is built for it."""


class Store(Protocol):
    """Collections of passages with dense and BM25 vectors."""

    def provenance(self, collection: str) -> Provenance:
        """What made the collection. Raises CollectionMissing."""

    def hashes(self, collection: str) -> dict[str, str]:
        """Content hash of every published passage, by passage id; empty where nothing is indexed."""

    def count(self, collection: str) -> int:
        """Published passages. Raises CollectionMissing."""

    def search(
        self,
        collection: str,
        query: EncodedQuery,
        conditions: Sequence[Condition],
        settings: RetrievalSettings,
        *,
        expected: Provenance | None = None,
    ) -> Found:
        """The first stage: at most `top_k` candidates of one generation, best first.

        Raises CollectionMissing, and ProvenanceMismatch where that generation is not `expected` to be searched so.
        """

    def find(self, collection: str, passage_ids: Sequence[str]) -> list[Passage]:
        """Those of the passages that are published, in any order. Raises CollectionMissing."""

    def read(self, collection: str, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        """`find`, with their vectors."""

    def passages(self, collection: str) -> Iterator[Passage]:
        """All that are published, of one generation, a page at a time, in any order. Raises CollectionMissing."""

    def values(self, collection: str, field: str, limit: int) -> list[ValueCount]:
        """The commonest values of a keyword field, commonest first, those alike by value.

        Counted by its index, without a look at each passage: roughly where a server moves what was written. Raises
        CollectionMissing.
        """

    def drop(self, collection: str) -> list[Generation]:
        """Deletes all that is stored of the collection; gives what that was. Raises StoreLocked."""

    def write(
        self, collection: str, provenance: Provenance, schema: Schema, *, rebuild: bool = False, resume: bool = True
    ) -> AbstractContextManager[Writer]:
        """Publishes on a clean exit, changes nothing otherwise; on a server, compatible changes go in place.

        What is left of a killed or failed run of the same kind is taken up again, unless not to `resume`. Raises
        ProvenanceMismatch unless `rebuild`, and in process StoreLocked.
        """

    def generations(self, collection: str) -> list[Generation]:
        """All that is stored of the collection: the live one first, then newest first; empty where nothing is."""

    def verify(self, collection: str) -> list[Verified]:
        """Reads all that is published of the collection; empty where nothing is. Raises StoreError."""

    def rollback(self, collection: str) -> Generation:
        """Makes the previous generation live, and the live one the previous; gives what is live now.

        Raises CollectionMissing, StoreLocked, and StoreError where there is no previous generation or it is damaged.
        """

    def prune(self, collection: str, keep: int = 1) -> list[Generation]:
        """Removes all but the live generation and, with `keep` 2, the previous one; gives what was removed.

        Raises StoreLocked.
        """

    def only(self, partition: Partition) -> "Store":
        """A view whose hashes and writers know the passages of one partition's documents alone.

        It writes in place, even into a new collection, so that the writers of all partitions share it.
        Raises SettingsError in process, where there is one writer.
        """

    def close(self) -> None: ...

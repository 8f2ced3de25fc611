"""What one collection of a Qdrant server holds, published or not."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

from overfetch.environment import ServerSettings
from overfetch.filters import Condition
from overfetch.partitions import Partition
from overfetch.protocols import EncodedPassage, EncodedQuery, ValueCount
from overfetch.settings import RetrievalSettings
from overfetch.stores import server_requests as requests
from overfetch.stores.known import is_bounded, search_known
from overfetch.stores.payloads import CONTENT_HASH, field_key, from_payload, from_record
from overfetch.stores.server_connection import MEMORY, Connection
from overfetch.types import Candidate, Passage

SCROLL_PAGE = 1024
SHOWN_PAGE = 256  # with their texts
LARGE = 100_000  # passages: up to so many, every vector that was known is compared
COUNTS_WHAT_WAS_KNOWN = (1, 19)

P = ParamSpec("P")
R = TypeVar("R")


class ServerContents(NamedTuple):
    """The passages of the server collection `name`, a generation of `collection`, or those of a partition."""

    connection: Connection
    settings: ServerSettings
    collection: str
    name: str
    partition: Partition | None

    def search(
        self, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        if not is_bounded(conditions):
            return self._query(query, conditions, settings, exact=False)
        if settings.first_stage != "dense":
            self.connection.require_version(
                COUNTS_WHAT_WAS_KNOWN, "as_of over BM25, whose weights count the collection"
            )
        exact = self.connection.address != MEMORY and self._size() <= LARGE  # in memory everything is
        return search_known(lambda s: self._query(query, conditions, s, exact=exact), query, settings)

    def _query(
        self, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings, *, exact: bool
    ) -> list[Candidate]:
        request = requests.search(query, conditions, settings, self.settings, exact=exact)
        found = self.call(self.connection.client.query_points, self.name, **request)
        return [Candidate(passage=from_payload(str(p.id), p.payload or {}), score=p.score) for p in found.points]

    def _size(self) -> int:
        """Roughly."""
        return int(self.call(self.connection.client.count, self.name, exact=False).count)

    def hashes(self) -> dict[str, str]:
        """Content hash of every passage, by passage id."""
        found: dict[str, str] = {}
        offset: Any = None
        while True:
            records, offset = self.call(
                self.connection.client.scroll,
                self.name,
                requests.within(self.partition),
                limit=SCROLL_PAGE,
                offset=offset,
                with_payload=[CONTENT_HASH],
            )
            found |= {str(record.id): (record.payload or {})[CONTENT_HASH] for record in records}
            if offset is None:
                return found

    def find(self, passage_ids: Sequence[str]) -> list[Passage]:
        records = self.call(self.connection.client.retrieve, self.name, list(passage_ids), with_payload=requests.SHOWN)
        return [from_payload(str(record.id), record.payload or {}) for record in records]

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        """With their vectors."""
        retrieve, ids = self.connection.client.retrieve, list(passage_ids)
        records = self.call(retrieve, self.name, ids, with_payload=True, with_vectors=True)
        return [from_record(record) for record in records]

    def passages(self) -> Iterator[Passage]:
        """A page at a time."""
        offset: Any = None
        while True:
            within = requests.within(self.partition)
            page = {"limit": SHOWN_PAGE, "offset": offset, "with_payload": requests.SHOWN}
            records, offset = self.call(self.connection.client.scroll, self.name, within, **page)
            yield from (from_payload(str(record.id), record.payload or {}) for record in records)
            if offset is None:
                return

    def values(self, field: str, limit: int) -> list[ValueCount]:
        """The commonest values of a keyword field, counted by its index."""
        found = self.call(
            self.connection.client.facet,
            self.name,
            field_key(field),
            facet_filter=requests.within(self.partition),
            limit=limit,
        )
        return [ValueCount(value=str(hit.value), passages=hit.count) for hit in found.hits]

    def call(self, operation: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        return self.connection.call(self.collection, operation, *arguments, **options)

"""Writing one collection of a Qdrant server."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from qdrant_client import models

from overfetch.errors import StoreError
from overfetch.filters import Condition
from overfetch.leaving import carried
from overfetch.protocols import Copied, EncodedPassage, EncodedQuery
from overfetch.provenance import Provenance, Recall
from overfetch.settings import RetrievalSettings
from overfetch.stores import server_requests as requests
from overfetch.stores.server_connection import MEMORY
from overfetch.stores.server_contents import SCROLL_PAGE, ServerContents
from overfetch.types import Candidate


class ServerWriter:
    """Writes to one server collection. What it did is there when the call returns; twice is as good as once."""

    copied: Copied | None = None

    def __init__(self, contents: ServerContents, *, in_place: bool, wrote: bool = False) -> None:
        """`wrote`: whether there is something to keep, as where a run goes on with what another one left."""
        self.contents = contents
        self.client = contents.connection.client
        self.in_place = in_place
        self.recall: Recall | None = None
        self.wrote = wrote
        self._hashes: dict[str, str] | None = None

    def hashes(self) -> dict[str, str]:
        return dict(self._known())

    def read(self, passage_ids: Sequence[str]) -> list[EncodedPassage]:
        return self.contents.read(passage_ids)

    def upsert(self, passages: Sequence[EncodedPassage]) -> None:
        """In requests of bounded size, several at once; the first that fails is raised when all have ended."""
        known, self.wrote = self._known(), True
        settings = self.contents.settings
        starts = range(0, len(passages), settings.upload_batch)
        batches = [passages[start : start + settings.upload_batch] for start in starts]
        threads = 1 if self.contents.connection.address == MEMORY else settings.upload_threads
        with ThreadPoolExecutor(threads, thread_name_prefix="overfetch-upload") as pool:
            list(pool.map(carried(self._upload), batches))
        known |= {p.passage.id: p.passage.content_hash for p in passages}

    def delete(self, passage_ids: Sequence[str]) -> None:
        for start in range(0, len(passage_ids), SCROLL_PAGE):
            batch = models.PointIdsList(points=list(passage_ids[start : start + SCROLL_PAGE]))
            self._do(self.client.delete, batch)
        for passage_id in passage_ids:
            self._known().pop(passage_id, None)

    def search(
        self, query: EncodedQuery, conditions: Sequence[Condition], settings: RetrievalSettings
    ) -> list[Candidate]:
        return self.contents.search(query, conditions, settings)

    def require_whole(self) -> None:
        stored = self.contents.hashes()
        if stored != self._known():
            raise StoreError(f"the new generation holds {len(stored)} passages, expected {len(self._known())}")

    def describe(self, provenance: Provenance) -> None:
        """Stores what made the collection and what it holds now, which the writer of a partition does not know."""
        whole = self.contents.partition is None
        made = provenance.holding(self._known(), self.recall) if whole else provenance
        self.contents.call(self.client.update_collection, self.contents.name, metadata=requests.metadata(made))

    def _known(self) -> dict[str, str]:
        """Content hashes as they were read once, and what was written since."""
        if self._hashes is None:
            self._hashes = self.contents.hashes()
        return self._hashes

    def _upload(self, batch: Sequence[EncodedPassage]) -> None:
        self._do(self.client.upsert, requests.points(batch))

    def _do(self, operation: Callable[..., object], what: object) -> None:
        self.contents.call(operation, self.contents.name, what, wait=True)

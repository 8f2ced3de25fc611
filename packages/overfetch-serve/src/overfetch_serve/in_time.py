"""A reranker that does not answer by the deadline is not waited for: candidates in hand go out in their order."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from overfetch.errors import ModelError
from overfetch.leaving import carried
from overfetch.models import ModelSpec
from overfetch.protocols import Reranker, RerankScores

GRACE_S = 0.5  # for one that ends at the deadline itself, as it should, and hands over what it has read
MOST_LATE = 64  # calls: each holds a thread


class Around:
    """What a Reranker around another has of that."""

    def __init__(self, reranker: Reranker) -> None:
        self.reranker = reranker

    @property
    def spec(self) -> ModelSpec:
        return self.reranker.spec

    def warm_up(self) -> None:
        self.reranker.warm_up()


class InTime(Around):
    """A Reranker around one that may hang; `late` calls have not come back. Without a deadline it waits like anyone."""

    def __init__(self, reranker: Reranker) -> None:
        super().__init__(reranker)
        self.late = 0
        self._counting = threading.Lock()

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """Raises ModelError where nothing came in time, or too many calls are late already."""
        if deadline is None:
            return self.reranker.score(query, passages)
        if self.late >= MOST_LATE:
            raise ModelError(f"{self.late} calls of the reranker {self.spec.name} have not come back")
        scored = Future[RerankScores]()
        given = carried(self._give)
        # A daemon: one that never comes back must not hold up the end of the process.
        threading.Thread(target=given, args=(scored, query, passages, deadline), daemon=True).start()
        try:
            return scored.result(max(0.0, deadline - time.monotonic()) + GRACE_S)
        except TimeoutError:
            self._count(1)
            scored.add_done_callback(lambda _: self._count(-1))
            raise ModelError(f"the reranker {self.spec.name} did not answer by the deadline") from None

    def _give(self, scored: Future[RerankScores], query: str, passages: Sequence[str], deadline: float) -> None:
        try:
            scored.set_result(self.reranker.score(query, passages, deadline))
        except Exception as error:
            scored.set_exception(error)

    def _count(self, calls: int) -> None:
        with self._counting:
            self.late += calls

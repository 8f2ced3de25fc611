"""How much is worked on at a time, how much may wait for that, and how long that takes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from overfetch.scheduling import moving_average
from overfetch_serve.errors import Busy

MOST_WAITED = 0.5  # of a request's time, for its turn


def patience(asked_at: float, ms: float) -> float:
    """Until when a request waits for its turn that was sent then and has so many milliseconds (`time.monotonic()`)."""
    return asked_at + ms / 1_000 * MOST_WAITED


class Turns:
    """Of one event loop."""

    def __init__(self, concurrency: int, waiting: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._places = asyncio.Semaphore(concurrency)
        self._concurrency, self._most_waiting, self._clock = concurrency, waiting, clock
        self._usual_s: float | None = None
        self.waiting = 0
        self.working = 0

    @property
    def seconds_to_wait(self) -> float:
        """Until one more would have its turn, if turns go on to take as long as the last ones did."""
        return (self.waiting + 1) * (self._usual_s or 0.0) / self._concurrency

    @asynccontextmanager
    async def taken(self, until: float | None = None) -> AsyncIterator[None]:
        """Whoever waited `until` then (`time.monotonic()`) goes on without a turn: late, it has little left to do.

        Raises Busy where too many wait already.
        """
        if self._places.locked() and self.waiting >= self._most_waiting:
            told = f"{self.working} requests are worked on and {self.waiting} wait already; try again later"
            raise Busy(told, self.seconds_to_wait)
        self.waiting += 1
        try:
            in_turn = await self._acquired(until)
            if not in_turn:
                yield
                return
        finally:
            self.waiting -= 1
        self.working += 1
        began = self._clock()
        try:
            yield
        finally:
            self._usual_s = moving_average(self._usual_s, self._clock() - began)
            self.working -= 1
            self._places.release()

    async def _acquired(self, until: float | None) -> bool:
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - self._clock())):
                return await self._places.acquire()
        except TimeoutError:
            return False

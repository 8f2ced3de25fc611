"""How long reading takes here, as measured: what a deadline allows is told before the work, not after it."""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from statistics import median
from typing import NamedTuple

from overfetch.errors import Overloaded
from overfetch_serve.errors import TooMuch
from overfetch_serve.turns import patience

KEPT, REMEMBERED_S = 16, 60.0  # measurements, and for how long: what was slow for once refuses nobody for ever
WORTH_MEASURING = 2_000  # characters: of fewer, the time is spent on other things


class Budget(NamedTuple):
    """A request's time: milliseconds, and when they end (`time.monotonic()`); `shared` tells whether others work."""

    ms: float
    end: float
    began_alone: bool
    shared: Callable[[], bool]

    @classmethod
    def of(cls, ms: float, *, alone: bool, shared: Callable[[], bool] = lambda: False) -> "Budget":
        """From now on."""
        return cls(ms, time.monotonic() + ms / 1000, alone, shared)

    @property
    def patience(self) -> float:
        """Until when a turn is waited for (`time.monotonic()`)."""
        return patience(self.end - self.ms / 1_000, self.ms)

    @property
    def alone(self) -> bool:
        """Whether the machine was the request's own, from its beginning until now."""
        return self.began_alone and not self.shared()


class Pace:
    """Seconds a character, the median of what was read lately by requests that had the machine to themselves."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, float]] = deque(maxlen=KEPT)

    @property
    def seconds(self) -> float | None:
        """None where nothing was measured lately."""
        since = self._clock() - REMEMBERED_S
        recent = [seconds for at, seconds in self._seen.copy() if at >= since]
        return median(recent) if recent else None

    def learn(self, characters: int, seconds: float) -> None:
        if characters >= WORTH_MEASURING:
            self._seen.append((self._clock(), seconds / characters))

    def allowed(self, sizes: Sequence[int], ms: float) -> int:
        """How many texts of these numbers of characters are read in time; all where nothing was measured."""
        seconds = self.seconds
        if seconds is None:
            return len(sizes)
        return bisect_right(list(accumulate(sizes)), ms / 1000 / seconds)

    def require(self, sizes: Sequence[int], budget: Budget) -> None:
        """Raises TooMuch where not all of it can be read in time."""
        allowed = self.allowed(sizes, budget.ms)
        if allowed < len(sizes):
            raise too_much(len(sizes), allowed, budget)

    def settle(self, sizes: Sequence[int], done: int, seconds: float, budget: Budget) -> None:
        """Learns from what was read. Raises TooMuch where time ended before all was, Overloaded if others took it."""
        alone = budget.alone
        if alone:
            self.learn(sum(sizes[:done]), seconds)
        if done < len(sizes) and alone:
            raise too_much(len(sizes), done, budget)
        if done < len(sizes):
            raise Overloaded(
                f"beside other requests, {done} of {len(sizes)} texts were read in {budget.ms:g} ms; try again later"
            )


def too_much(given: int, allowed: int, budget: Budget) -> TooMuch:
    return TooMuch(
        f"{given} texts of these lengths take longer than the {budget.ms:g} ms of this request, which allow {allowed}: "
        "send fewer or shorter ones, or ask for more time by the header Overfetch-Deadline-Ms",
        allowed,
    )

"""How many requests a minute are answered to each key, or to each address where no key is known.

They are counted for the service, not for a worker: one number for each who asks, in `rates.sqlite` of the state
folder, by a clock that nobody sets, the machine's since its start. Where that file fails, each worker counts for
itself.
"""

import logging
import sqlite3
import time
from ipaddress import IPv6Address, ip_address, ip_network
from pathlib import Path

from pyrate_limiter import GCRA, Decision, Duration, Rate

from overfetch.figures import Figure
from overfetch.forking import ProcessLock, starting_over
from overfetch_serve.errors import TooMany
from overfetch_serve.state import open_state

log = logging.getLogger(__name__)

PATIENCE_S = 0.2  # for another worker that writes
MAKE = "CREATE TABLE IF NOT EXISTS rates (who TEXT PRIMARY KEY, due INTEGER) WITHOUT ROWID"
INDEX = "CREATE INDEX IF NOT EXISTS by_due ON rates (due)"
READ = "SELECT due FROM rates WHERE who = ?"
WRITE = "INSERT OR REPLACE INTO rates VALUES (?, ?)"
FORGET = "DELETE FROM rates WHERE due <= ?"
TOLD_EVERY_S = 60.0
IN_MEMORY = Path(":memory:")
OF_ONE_NETWORK = 64  # bits of an IPv6 address: who has one has all that begin so

UNSHARED = Figure()
"""Requests that this process counted for itself, since the file failed."""


class Rates:
    """Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rates.sqlite"
        self._algorithm = GCRA()
        self._lock = ProcessLock()
        self.start_over()
        starting_over(self)

    def start_over(self) -> None:
        self._files: dict[Path, sqlite3.Connection] = {}
        self._told_at = float("-inf")

    def take(self, who: str, per_minute: int) -> None:
        """Counts a request. Raises TooMany with the seconds until the next one is answered."""
        rate, now_ms = Rate(per_minute, Duration.MINUTE), time.monotonic_ns() // 1_000_000
        with self._lock:
            try:
                decision = self._step(self._path, who, rate, now_ms)
            except (sqlite3.Error, OSError) as error:
                self._tell(error)
                decision = self._step(IN_MEMORY, who, rate, now_ms)
        if not decision.allowed:
            seconds = (decision.retry_after_ms or 0) / 1_000
            raise TooMany(f"{per_minute} requests a minute are answered; try again in {seconds:.1f} s", seconds)

    def close(self) -> None:
        with self._lock:
            while self._files:
                self._files.popitem()[1].close()

    def _tell(self, error: Exception) -> None:
        UNSHARED.add()
        if time.monotonic() - self._told_at >= TOLD_EVERY_S:
            self._told_at = time.monotonic()
            log.warning("requests are not counted in %s, but by each worker for itself: %s", self._path, error)

    def _step(self, path: Path, who: str, rate: Rate, now_ms: int) -> Decision:
        """What is due is in microseconds; more than a full burst ahead, it is from before the machine's start."""
        file = self._opened(path)
        now = now_ms * 1_000
        with file:
            file.execute("BEGIN IMMEDIATE")
            row = file.execute(READ, [who]).fetchone()
            due = row[0] if row and row[0] <= now + 2_000 * rate.interval else 0
            (after,), decision = self._algorithm.step([rate], (due,), now_ms, 1)
            if decision.allowed:
                file.execute(WRITE, [who, after])
            file.execute(FORGET, [now])
        return decision

    def _opened(self, path: Path) -> sqlite3.Connection:
        if path not in self._files:
            self._files[path] = open_state(path, PATIENCE_S, MAKE, INDEX)
        return self._files[path]


def network_of(address: str) -> str:
    """Whom requests without a key are counted for.

    >>> network_of("203.0.113.9"), network_of("2001:db8::1:2"), network_of("a socket")
    ('203.0.113.9', '2001:db8::/64', 'a socket')
    """
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, OF_ONE_NETWORK), strict=False)) if isinstance(found, IPv6Address) else address

"""What the models of this process did, in numbers that only grow: for whoever watches it."""

from overfetch.forking import ProcessLock


class Figure:
    """Safe to add to from any thread."""

    def __init__(self) -> None:
        self._lock = ProcessLock()
        self.value = 0

    def add(self, number: int = 1) -> None:
        with self._lock:
            self.value += number


RUNS = Figure()
"""Runs of a model."""

SEQUENCES = Figure()
"""What was read in those runs: queries, passages, or windows of passages."""

SCORES = Figure()
"""Scores of query and passage that were asked for."""

REMEMBERED = Figure()
"""Of those, the ones that a cache knew."""

"""`overfetch serve` with rerankers that fail on demand: what stands in a file says how.

python tests/bench/serving_injected.py serve SITE --port PORT --workers 2
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI

from overfetch.cli import main as program
from overfetch.protocols import Reranker, RerankScores
from overfetch_serve import running
from overfetch_serve.in_time import Around

VARIABLE = "BENCH_FAULTS"  # the folder of the file
RERANKER = "reranker"


class Failing(Around):
    """A Reranker that `raises` or `hangs` while the file says so."""

    def __init__(self, reranker: Reranker, fault: Path) -> None:
        super().__init__(reranker)
        self.fault = fault

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        if self._told() == "raises":
            raise RuntimeError("injected: the reranker fails")
        while self._told() == "hangs":
            time.sleep(0.05)
        return self.reranker.score(query, passages, deadline)

    def _told(self) -> str:
        return self.fault.read_text() if self.fault.exists() else ""


def application() -> FastAPI:
    """As `overfetch_serve.running.application`."""
    app = running.application()
    service = app.state.service
    for site in service.sites:
        guarded = service.engine(site).reranker
        guarded.reranker = Failing(guarded.reranker, Path(os.environ[VARIABLE]) / RERANKER)
    return app


if __name__ == "__main__":
    running.APPLICATION = "serving_injected:application"
    program.run()

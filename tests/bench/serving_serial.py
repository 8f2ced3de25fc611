"""What a service has to answer: the same requests one at a time, in this process, by the same code."""

import re
from collections.abc import Sequence
from math import isclose
from typing import Any

from serving_requests import COLLECTIONS, Asked

from overfetch import Workspace
from overfetch.documents import AnswerDocument, RetrievalDocument
from overfetch.protocols import Reranker, RerankScores
from overfetch.requests import AskRequest, SearchRequest
from overfetch_serve.in_time import Around
from overfetch_serve.vendors.pace import Budget
from overfetch_serve.vendors.ranking import Ranker

ALLOWED = re.compile(r"allowed (\d+) of \d+ passages")
UNREAD = "since the deadline left no time to read them"  # sentences, after all passages were
CLOSE = 1e-5  # of scores
LONG_MS = 3_600_000.0
OWN = {"timings_ms", "rerank_status", "rerank_reason", "truncated_tokens"}  # of one run, or of what was allowed


class First(Around):
    """A Reranker that scores the first passages of what it is given: so many as `counts` says for each call in turn,
    all where that is None or says no more.
    """

    def __init__(self, reranker: Reranker) -> None:
        super().__init__(reranker)
        self.counts: list[int | None] = []

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        count = self.counts.pop(0) if self.counts else None
        if count == 0:
            return RerankScores([], 0)
        return self.reranker.score(query, passages[:count], deadline)


class Serial:
    """Of the sites of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        pair = workspace.environment.pair()
        self.reranker = First(workspace.reranker(pair.reranker))
        self.ranker = Ranker(workspace.embedder(pair.embedder), workspace.reranker(pair.reranker))
        self.engines = {site: workspace.site(site) for site, _ in COLLECTIONS}
        for engine in self.engines.values():
            engine.reranker = self.reranker

    def difference(self, asked: Asked, body: dict[str, Any]) -> str | None:
        """Where the answer is another than the serial one."""
        if asked.kind == "rerank":
            return _first_difference(
                self._ranked(asked.body), [(r["index"], r["relevance_score"]) for r in body["results"]]
            )
        self.reranker.counts = [_scored(body), *([0] if UNREAD in (body.get("reason") or "") else [])]
        expected = self._document(asked).model_dump(mode="json")
        wanted = {name: value for name, value in expected.items() if name not in OWN}
        return _first_difference(wanted, {name: body.get(name) for name in wanted})

    def _document(self, asked: Asked) -> RetrievalDocument:
        _, _, site, collection, _ = asked.path.split("/")
        engine = self.engines[site]
        if asked.kind == "search":
            found = engine.retrieve(collection, SearchRequest(**asked.body, deadline_ms=LONG_MS))
            return RetrievalDocument.of(found)
        answer = engine.answer(AskRequest(**asked.body, collection=collection, deadline_ms=LONG_MS))
        return AnswerDocument.of_answer(answer)

    def _ranked(self, body: dict[str, Any]) -> list[tuple[int, float]]:
        ranking = self.ranker.rank(body["query"], body["documents"], Budget.of(LONG_MS, alone=True))
        return [(place, ranking.scores[place]) for place in ranking.places]


def _scored(body: dict[str, Any]) -> int | None:
    """How many candidates were; None: all."""
    if body["rerank_status"] == "full":
        return None
    allowed = ALLOWED.search(body["rerank_reason"] or "")
    return int(allowed[1]) if allowed else 0


def _first_difference(wanted: object, got: object) -> str | None:
    """A float of several sequences in one run differs in its last digits from that of another run."""
    if wanted == got or (isinstance(wanted, float) and isinstance(got, float) and isclose(wanted, got, abs_tol=CLOSE)):
        return None
    if isinstance(wanted, list | tuple) and isinstance(got, list | tuple) and len(wanted) == len(got):
        told = ((at, _first_difference(*pair)) for at, pair in enumerate(zip(wanted, got, strict=True)))
        return next((f"[{at}] {what}" for at, what in told if what), None)
    if isinstance(wanted, dict) and isinstance(got, dict) and wanted.keys() == got.keys():
        told_by_name = ((name, _first_difference(wanted[name], got[name])) for name in wanted)
        return next((f"{name} {what}" for name, what in told_by_name if what), None)
    return f"{str(got)[:120]} in place of {str(wanted)[:120]}"

"""What became known of a request while it was answered: for its headers, its log line and the service's figures."""

from contextvars import ContextVar
from dataclasses import dataclass, field

from overfetch.types import RerankStatus

# The worst comes last: of the parts of a question it is told.
BY_HARM: tuple[RerankStatus, ...] = ("full", "listwise", "off", "fallback", "partial", "skipped", "failed")


@dataclass
class Seen:
    """Of one request. Changed by the tasks and threads that work for it, read when it is answered."""

    request_id: str
    key: str | None = None
    rerank_status: RerankStatus | None = None
    over_its_rate: bool = False
    queries: list[str] = field(default_factory=list)
    body: bytes = field(default=b"", repr=False)

    def wrote(self, text: str) -> bool:
        """Whether the request's body has that text, as JSON writes it."""
        return text.encode("utf-8", "backslashreplace") in self.body.replace(rb"\/", b"/")

    def reranked(self, status: RerankStatus) -> None:
        known = [status] if self.rerank_status is None else [status, self.rerank_status]
        self.rerank_status = max(known, key=BY_HARM.index)


current: ContextVar[Seen | None] = ContextVar("seen", default=None)
"""The request that this task or thread works for."""

"""What an embedder does not read of long passages, and in which documents."""

from collections import Counter
from collections.abc import Sequence

from overfetch.protocols import Embedder
from overfetch.types import Passage


class Cut:
    """Tokens beyond the embedder's limit, by document; `total` is None where it does not say."""

    def __init__(self) -> None:
        self.by_document: Counter[str] = Counter()
        self.total: int | None = 0

    def count(self, passages: Sequence[Passage], embedder: Embedder) -> None:
        for passage in passages:
            tokens = embedder.count_truncated([passage.reading])
            if tokens is None:
                self.total = None
            elif tokens and self.total is not None:
                self.total += tokens
                self.by_document[passage.document_id] += tokens

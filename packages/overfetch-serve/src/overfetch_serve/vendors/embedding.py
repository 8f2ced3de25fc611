"""Texts of a request as vectors; each is a query or a passage, which some models read with different prefixes."""

import time
from collections.abc import Sequence
from typing import Literal, NamedTuple

from overfetch.errors import SettingsError
from overfetch.protocols import Embedder, Vectors
from overfetch_serve.vendors.pace import Budget, Pace

SLICE = 64  # texts between two looks at the clock

TextKind = Literal["query", "passage"]


class Embedded(NamedTuple):
    """A vector for each text; tokens beyond the model's limit, None where that is not known."""

    vectors: list[Vectors]
    truncated: int | None


class TextEmbedder:
    """A profile's bi-encoder for texts from elsewhere."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._pace = Pace()

    def embed(self, texts: Sequence[str], kind: TextKind | None, budget: Budget) -> Embedded:
        """Without a `kind`, the texts must have a prefix of the model already, unless it has none.

        Raises SettingsError, TooMuch, Overloaded and ModelError.
        """
        began, sizes = time.monotonic(), [*map(len, texts)]
        self._pace.require(sizes, budget)
        if kind is None:
            kind, texts = self._without_prefix(texts)
        run = self.embedder.embed_queries if kind == "query" else self.embedder.embed_passages
        vectors: list[Vectors] = []
        for start in range(0, len(texts), SLICE):
            if time.monotonic() >= budget.end:
                break
            vectors += [*run(texts[start : start + SLICE])]
        self._pace.settle(sizes, len(vectors), time.monotonic() - began, budget)
        return Embedded(vectors, self.embedder.count_truncated(texts))

    def _without_prefix(self, texts: Sequence[str]) -> tuple[TextKind, list[str]]:
        """What whoever asked put before each text says what it is."""
        spec = self.embedder.spec
        kinds: dict[str, TextKind] = {spec.query_prefix: "query", spec.passage_prefix: "passage"}
        for prefix, kind in kinds.items():
            if all(text.startswith(prefix) for text in texts):
                return kind, [text.removeprefix(prefix) for text in texts]
        raise SettingsError(
            f"{spec.name} reads queries and passages differently: send input_type `query` or `passage`, ask for the "
            f"model `NAME:query` or `NAME:passage`, or begin each text with {spec.query_prefix!r} or "
            f"{spec.passage_prefix!r}"
        )

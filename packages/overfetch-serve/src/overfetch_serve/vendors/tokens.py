"""Tokens as a model that ships in a package makes them; of others they are not known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from overfetch import token_counter
from overfetch.models import ModelSpec
from overfetch.token_counting import first_tokens


class Cut(NamedTuple):
    """Texts as far as they are to be read."""

    texts: list[str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tokens:
    """`model` is None where its tokens are not known."""

    model: str | None

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        return cls(spec.name if spec.package is not None else None)

    def count(self, query: str, texts: Sequence[str]) -> int | None:
        """All that is read, the query beside each text."""
        if self.model is None:
            return None
        size = token_counter(self.model)
        return size(query) * len(texts) + sum(map(size, texts))

    def cut(self, texts: Sequence[str], limit: int) -> Cut:
        """The beginning of each."""
        if self.model is None:
            longest = max(map(len, texts), default=0)
            unknown = "max_tokens_per_doc has no effect: the model's tokens are not known here"
            return Cut([*texts], (unknown,) if longest > limit else ())
        # No token is shorter than a character: most texts need not be looked at.
        kept = [text if len(text) <= limit else first_tokens(text, limit, self.model) for text in texts]
        shortened = sum(len(after) < len(before) for before, after in zip(texts, kept, strict=True))
        told = f"{shortened} documents were cut at {limit} tokens (max_tokens_per_doc)"
        return Cut(kept, (told,) if shortened else ())

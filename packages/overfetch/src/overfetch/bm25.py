"""How BM25 weighs the terms of a collection's passages: declared by its site, named in all that it made."""

from typing import Literal

from pydantic import Field

from overfetch.types import Frozen

StopWords = Literal["english", "none"]


class Bm25(Frozen):
    """Robertson & Zaragoza 2009, fixed when a collection is indexed: nothing that is written later moves a weight.

    `k1` is how soon a term's frequency stops to count, `b` how much a passage's length does against `average_length`
    terms. With `stop_words` "none", words such as `on` and `it` are found too. `fitted_on` says by what all this was
    chosen (`overfetch fit`), and is stored with what it made.
    """

    k1: float = Field(default=1.2, gt=0, le=100)
    b: float = Field(default=0.75, ge=0, le=1)
    average_length: float = Field(default=256, gt=0, le=100_000)
    stop_words: StopWords = "english"
    fitted_on: str | None = None

    @property
    def tokenizer(self) -> str:
        """The name that a provenance has of it."""
        language = "english" if self.stop_words == "english" else ALL_WORDS
        weights = f"k={self.k1:g},b={self.b:g},avg_len={self.average_length:g}"
        return f"overfetch-terms/1+qdrant-edge-bm25/{language}/{weights}"


ALL_WORDS = "english,all-words"
SPARSE_TOKENIZER = Bm25().tokenizer
# Of texts as they are written, not as `terms` spells them out: what an earlier version made goes on serving.
AS_WRITTEN = "qdrant-edge-bm25/english/k=1.2,b=0.75,avg_len=256"


def reading_of(tokenizer: str) -> str:
    """How it reads a query, by name: weights are those of passages."""
    return tokenizer.rpartition("/")[0]


READINGS = frozenset(map(reading_of, (AS_WRITTEN, SPARSE_TOKENIZER, Bm25(stop_words="none").tokenizer)))
"""How queries can be read."""

"""How BM25 weighs the terms of a collection's passages: declared by its site, named in all that it made."""

from typing import Literal, get_args

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
        return f"{TERMS}+qdrant-edge-bm25/{language}/{weights}"


TERMS = "overfetch-terms/2"
ALL_WORDS = "english,all-words"
SPARSE_TOKENIZER = Bm25().tokenizer
# What earlier versions made goes on serving: of texts spelt out with their accents, and of texts as they are written.
WITH_ACCENTS = "overfetch-terms/1"
AS_WRITTEN = "qdrant-edge-bm25/english/k=1.2,b=0.75,avg_len=256"


def reading_of(tokenizer: str) -> str:
    """How it reads a query, by name: weights are those of passages."""
    return tokenizer.rpartition("/")[0]


_NOW = [reading_of(Bm25(stop_words=words).tokenizer) for words in get_args(StopWords)]
READINGS = frozenset([reading_of(AS_WRITTEN), *_NOW, *(now.replace(TERMS, WITH_ACCENTS) for now in _NOW)])
"""How queries can be read."""

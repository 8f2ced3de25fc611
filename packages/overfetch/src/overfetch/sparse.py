"""BM25 term weights from one offline tokenizer, the same for every store.

Weights follow Robertson & Zaragoza 2009 with k1=1.2, b=0.75 and an assumed average length of 256 terms
(the engine's defaults); the store applies inverse document frequency when it searches.
"""

from collections.abc import Callable
from functools import cache, partial

from qdrant_edge import Bm25

from overfetch.protocols import SparseVector
from overfetch.provenance import AS_WRITTEN, SPARSE_TOKENIZER
from overfetch.terms import spell_out


@cache
def _model() -> Bm25:
    return Bm25()


# What each tokenizer makes of a query, by the name that a provenance has.
READ_BY: dict[str, Callable[[str], str]] = {SPARSE_TOKENIZER: partial(spell_out, passage=False), AS_WRITTEN: str}


def embed_sparse_query(text: str, tokenizer: str = SPARSE_TOKENIZER) -> SparseVector:
    """Weight 1 for every distinct term, as that tokenizer made the passages'; empty where it has only stop words."""
    vector = _model().embed_query(READ_BY[tokenizer](text))
    return SparseVector(vector.indices, vector.values)


def embed_sparse_passage(text: str) -> SparseVector:
    """Saturated, length-normalised term frequencies."""
    vector = _model().embed_document(spell_out(text, passage=True))
    return SparseVector(vector.indices, vector.values)

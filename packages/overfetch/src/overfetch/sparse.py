"""BM25 term weights from one offline tokenizer, the same for every store.

Weights follow Robertson & Zaragoza 2009 with k1=1.2, b=0.75 and an assumed average length of 256 terms
(the engine's defaults); the store applies inverse document frequency when it searches.
"""

from functools import cache

from qdrant_edge import Bm25

from overfetch.protocols import SparseVector


@cache
def _model() -> Bm25:
    return Bm25()


def embed_sparse_query(text: str) -> SparseVector:
    """Weight 1 for every distinct term; empty where the text has only stop words."""
    vector = _model().embed_query(text)
    return SparseVector(vector.indices, vector.values)


def embed_sparse_passage(text: str) -> SparseVector:
    """Saturated, length-normalised term frequencies."""
    vector = _model().embed_document(text)
    return SparseVector(vector.indices, vector.values)

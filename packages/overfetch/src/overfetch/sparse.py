"""BM25 term weights from one offline tokenizer, the same for every store.

The store applies inverse document frequency when it searches.
"""

from functools import cache

from qdrant_edge import Bm25 as Model
from qdrant_edge import Bm25Config, StopwordsSet

from overfetch.bm25 import ALL_WORDS, AS_WRITTEN, SPARSE_TOKENIZER, WITH_ACCENTS, Bm25, StopWords, reading_of
from overfetch.protocols import SparseVector
from overfetch.terms import spell_out

DEFAULT = Bm25()
COUNTING = {"english": Bm25(k1=100, b=0), "none": Bm25(k1=100, b=0, stop_words="none")}
EVERY_WORD = Bm25(stop_words="none")


@cache
def _model(bm25: Bm25) -> Model:
    stop_words = None if bm25.stop_words == "english" else StopwordsSet(set(), set())
    return Model(Bm25Config(bm25.k1, bm25.b, bm25.average_length, stopwords=stop_words))


def embed_sparse_query(text: str, tokenizer: str = SPARSE_TOKENIZER) -> SparseVector:
    """Weight 1 for every distinct term, as that tokenizer made the passages'; empty where it has only stop words."""
    reading = reading_of(tokenizer)
    plain = not reading.startswith(WITH_ACCENTS)
    read = text if reading == reading_of(AS_WRITTEN) else spell_out(text, passage=False, plain=plain)
    vector = _model(EVERY_WORD if reading.endswith(ALL_WORDS) else DEFAULT).embed_query(read)
    return SparseVector(vector.indices, vector.values)


def count_terms(text: str, stop_words: StopWords) -> tuple[list[int], list[int]]:
    """The distinct terms of a passage, and how often each is there."""
    counting = COUNTING[stop_words]
    vector = embed_sparse_passage(text, counting)
    k1 = counting.k1
    return vector.indices, [round(k1 * weight / (k1 + 1 - weight)) for weight in vector.values]


def embed_sparse_passage(text: str, bm25: Bm25 = DEFAULT) -> SparseVector:
    """Saturated, length-normalised term frequencies."""
    vector = _model(bm25).embed_document(spell_out(text, passage=True))
    return SparseVector(vector.indices, vector.values)

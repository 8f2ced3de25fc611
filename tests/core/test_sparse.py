"""BM25's terms: in any script and Unicode form, of identifiers whole and parts, alike in queries and passages."""

import time
import unicodedata

import pytest

from overfetch.bm25 import AS_WRITTEN, READINGS, SPARSE_TOKENIZER, TERMS, WITH_ACCENTS, Bm25, reading_of
from overfetch.sparse import count_terms, embed_sparse_passage, embed_sparse_query


def shared(query: str, passage: str) -> int:
    return len({*embed_sparse_query(query).indices} & {*embed_sparse_passage(passage).indices})


@pytest.mark.parametrize(
    ("query", "passage", "least"),
    [
        ("检索", "我们使用检索模型进行排序", 1),
        ("全文検索", "これは全文検索エンジンです", 3),
        ("ค้นหา", "ระบบค้นหาเอกสาร", 2),
        ("검색", "검색은 빠르다", 1),
        ("猫", "黑猫坐着", 1),
        ("BM25", "使用BM25检索", 1),
        ("parse response", "parseHtmlResponse", 2),
        ("parseHtmlResponse", "calls parsehtmlresponse", 1),
        ("soft logout", "softLogout()", 2),
        ("http server", "HTTPServer", 2),
        ("python", "python3", 1),
        ("user id", "user_id", 2),
        ("userid", "user_id", 1),
        ("email", "e-mail", 1),
        ("1.2.3", "v 1.2.3", 4),
        ("A002", "RULE-A002", 1),
        ("17 010", "MS17-010", 2),
        ("STRASSE", "die Straße", 1),
        ("İSTANBUL", "in istanbul", 1),
        ("ＡＢＣ", "abc", 1),
        ("ﾊﾝｶｸ", "ハンカク", 2),
        ("file", "ﬁle", 1),
        ("hegota", "the Hegotá upgrade", 1),
        ("Nestlé", "nestle", 1),
        ("orsted", "Ørsted A/S", 1),
        ("moller maersk", "A.P. Møller-Mærsk", 2),
        ("lodz", "ŁÓDŹ", 1),
        ("zamok", "za\u0301mok", 1),
    ],
)
def test_a_query_meets_the_passage(query: str, passage: str, least: int) -> None:
    assert shared(query, passage) >= least


@pytest.mark.parametrize(
    ("query", "passage"), [("15", "1.5"), ("1.5", "15"), ("123", "1.2.3"), ("h", "H100"), ("ller", "MÜller")]
)
def test_what_is_not_there_is_not_found(query: str, passage: str) -> None:
    assert not shared(query, passage)


@pytest.mark.parametrize("text", ["café über Ångström", "검색 엔진", "パーティー"])
def test_the_unicode_form_does_not_matter(text: str) -> None:
    composed, taken_apart = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert embed_sparse_passage(composed) == embed_sparse_passage(taken_apart)
    assert embed_sparse_query(composed) == embed_sparse_query(taken_apart)


def test_plain_words_have_the_terms_that_they_had() -> None:
    text = "The tower falls in a storm at night, and Saturn asks for patience."
    assert embed_sparse_query(text) == embed_sparse_query(text, AS_WRITTEN)


@pytest.mark.parametrize("block", ["aA", "a-", "A", "a1", "_", "-.", "检", "ก็", "1.", "\u0301", "\u0301\u0316"])
def test_foreign_text_is_read_in_linear_time(block: str) -> None:
    began = time.process_time()
    embed_sparse_passage(block * 100_000)
    assert time.process_time() - began < 10


def test_what_was_made_with_accents_is_asked_with_them() -> None:
    made = SPARSE_TOKENIZER.replace(TERMS, WITH_ACCENTS)
    assert embed_sparse_query("Hegotá", made) == embed_sparse_query("hegotá", AS_WRITTEN)
    assert embed_sparse_query("parseHtml", made) == embed_sparse_query("parseHtml")
    assert reading_of(made) in READINGS


TEXT = "the tower falls, and on it falls the tower of the night"


def test_the_name_says_every_parameter() -> None:
    assert SPARSE_TOKENIZER == "overfetch-terms/2+qdrant-edge-bm25/english/k=1.2,b=0.75,avg_len=256"
    fitted = Bm25(k1=0.9, b=0.4, average_length=83.5, stop_words="none", fitted_on="dev")
    assert fitted.tokenizer == "overfetch-terms/2+qdrant-edge-bm25/english,all-words/k=0.9,b=0.4,avg_len=83.5"


def test_weights_follow_the_formula() -> None:
    bm25 = Bm25(k1=0.9, b=0.4, average_length=12)
    terms, counts = count_terms(TEXT, "english")
    relative = 1 - 0.4 + 0.4 * sum(counts) / 12
    expected = [count * 1.9 / (count + 0.9 * relative) for count in counts]
    made = embed_sparse_passage(TEXT, bm25)
    assert made.indices == terms
    assert made.values == pytest.approx(expected)
    assert max(counts) == 2


def test_stop_words_are_found_where_they_are_kept() -> None:
    kept = Bm25(stop_words="none")
    (term,) = embed_sparse_query("on", kept.tokenizer).indices
    assert term in embed_sparse_passage(TEXT, kept).indices
    assert embed_sparse_query("on").indices == []


def test_weights_do_not_change_how_a_query_is_read() -> None:
    assert embed_sparse_query("userId on", Bm25(k1=2, b=0).tokenizer) == embed_sparse_query("userId on")

"""BM25's terms: in any script and Unicode form, of identifiers whole and parts, alike in queries and passages."""

import time
import unicodedata

import pytest

from overfetch.provenance import AS_WRITTEN
from overfetch.sparse import embed_sparse_passage, embed_sparse_query


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
    ],
)
def test_a_query_meets_the_passage(query: str, passage: str, least: int) -> None:
    assert shared(query, passage) >= least


@pytest.mark.parametrize(("query", "passage"), [("15", "1.5"), ("1.5", "15"), ("123", "1.2.3"), ("h", "H100")])
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


@pytest.mark.parametrize("block", ["aA", "a-", "A", "a1", "_", "-.", "检", "ก็", "1.", "\u0301"])
def test_foreign_text_is_read_in_linear_time(block: str) -> None:
    began = time.process_time()
    embed_sparse_passage(block * 100_000)
    assert time.process_time() - began < 10

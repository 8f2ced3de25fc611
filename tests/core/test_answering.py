"""Answers with and without a language model; the module that answers is this file's own."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from overfetch import (
    Answer,
    AnswerError,
    AnswerRequest,
    Chunk,
    Citation,
    Document,
    Draft,
    Engine,
    Hit,
    LanguageModel,
    Passage,
    Retrieval,
    load_site,
)
from overfetch.answering import load_answer_function
from overfetch.citations import guard
from overfetch.errors import ModelError
from overfetch.extracting import MOST_CHARACTERS, extractive_answer
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker, open_fake
from overfetch.types import Timings

QUESTION = "What is Sage Daily?"
LM = LanguageModel(name="openai/test")


@pytest.fixture
def engine() -> Engine:
    return open_fake(load_site("builddaily"))


def answer_by(function: object, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Answer:
    """`ask` with a language model whose module is `function`."""
    module = ModuleType("own_answering")
    module.answer = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_answering", module)
    chat = engine.site.collection("chat").model_copy(update={"answering": "own_answering:answer"})
    engine.site = engine.site.model_copy(update={"collections": (chat,)})
    engine.lm = LM
    return engine.ask(QUESTION)


def test_what_a_sites_own_function_raises_costs_the_writing_only(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: AnswerRequest) -> Draft:
        raise KeyError("answer")

    answered = answer_by(answer, engine, monkeypatch)
    assert answered.mode == "extractive"
    assert answered.citations
    assert answered.reason == "the answer module 'own_answering:answer' failed: KeyError"
    assert asyncio.run(engine.ask_async(QUESTION)).reason == answered.reason


def citing_beside(answer: str, other: str) -> object:
    """Cites what the first passage says, and after it another quote."""

    def answered(request: AnswerRequest) -> Draft:
        passage = request.retrievals[0].hits[0].passage
        quotes = (passage.text[:40], other)
        citations = tuple(Citation(passage_id=passage.id, document_id="x", quote=quote) for quote in quotes)
        return Draft(answer=answer, citations=citations)

    return answered


def test_half_a_surrogate_pair_of_a_model_fails_no_request(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = answer_by(citing_beside("It is \ud83d [1].", "It is free \ud83d"), engine, monkeypatch)
    assert (answered.mode, answered.answer) == ("lm", "It is ? [1].")
    assert answered.refused[0].citation.quote == "It is free ?"
    assert answered.model_dump_json()


def test_an_answer_of_which_nothing_is_left_is_quoted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.on_refused = "drop"
    answered = answer_by(citing_beside("The sky is blue [2].", "is in no source at all"), engine, monkeypatch)
    assert answered.mode == "extractive"
    assert answered.answer


def citing(quote: str) -> object:
    def answer(request: AnswerRequest) -> Draft:
        passage = request.retrievals[0].hits[0].passage
        text = quote or passage.text[:40]
        return Draft(answer="It is.", citations=(Citation(passage_id=passage.id, document_id="wrong", quote=text),))

    return answer


def test_a_language_model_answers_with_checked_citations(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_by(citing(""), engine, monkeypatch)
    assert (answer.mode, answer.answer, answer.reason) == ("lm", "It is.", None)
    first = answer.retrievals[0].hits[0].passage
    assert [c.document_id for c in answer.citations] == [first.document_id]


def test_invented_citations_alone_are_no_answer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_by(citing("no page says this"), engine, monkeypatch)
    assert answer.mode == "extractive"
    assert "of its 1 citations none is in the sources" in (answer.reason or "")
    assert answer.citations


def test_an_answer_without_citations_is_none(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_by(lambda request: Draft(answer="Trust me.", citations=()), engine, monkeypatch)
    assert answer.mode == "extractive"
    assert "Trust me" not in answer.answer


def test_not_in_the_sources_needs_no_citation(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Draft(answer="Not in the sources.", citations=(), found=False)
    answer = answer_by(lambda request: missing, engine, monkeypatch)
    assert (answer.mode, answer.answer, answer.citations) == ("lm", "Not in the sources.", ())


def test_a_failing_language_model_falls_back_and_says_why(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: AnswerRequest) -> Draft:
        raise AnswerError("the server is down")

    answer = answer_by(fail, engine, monkeypatch)
    assert (answer.mode, answer.reason) == ("extractive", "the server is down")
    assert answer.citations


def test_a_missing_answer_module_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "builddaily.answering", None)
    engine.lm = LM
    answer = engine.ask(QUESTION)
    assert answer.mode == "extractive"
    assert "builddaily.answering:answer_chat" in (answer.reason or "")


@pytest.mark.parametrize("code", ["1 / 0", "import nowhere", "raise ValueError('no')", "def"])
def test_an_answer_module_that_fails_when_imported_is_named(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "answers_badly.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AnswerError, match="cannot load the answer module 'answers_badly:answer'"):
        load_answer_function("answers_badly:answer")


def test_a_test_collection_has_no_answer_module_whatever_language_model_is_set() -> None:
    """`eval FOLDER` with OVERFETCH_LM: models are warmed up, answers are not asked for."""
    with pytest.raises(AnswerError, match="cannot load the answer module ''"):
        load_answer_function("")


def test_a_failing_reranker_still_leaves_an_answer() -> None:
    engine = open_fake(load_site("builddaily"), reranker=FakeReranker(failure=RuntimeError("out of memory")))
    answer = engine.ask(QUESTION)
    assert answer.retrievals[0].rerank_status == "failed"
    assert answer.citations


def test_nothing_found_is_said(engine: Engine) -> None:
    answer = engine.ask(QUESTION, where=["kind=no such kind"])
    assert answer.citations == ()
    assert answer.answer == "Nothing in this collection answers the question."


def test_sentences_are_quoted_once_and_in_reading_order(engine: Engine) -> None:
    answer = engine.ask(QUESTION)
    quotes = [citation.quote for citation in answer.citations]
    assert len(set(quotes)) == len(quotes) <= 3
    places = [answer.answer.index(quote) for quote in quotes]
    assert places == sorted(places)
    ranks = {hit.passage.id: hit.rank for hit in answer.retrievals[0].hits}
    order = [ranks[citation.passage_id] for citation in answer.citations]
    assert order == sorted(order)


def found_in(text: str) -> Retrieval:
    passage = Passage.of(Document(id="rules", title="Rules", text=text), 0, Chunk(breadcrumb="Rules", text=text))
    hit = Hit(rank=1, passage=passage, first_stage_rank=1, first_stage_score=1.0)
    took = Timings(embed=0, search=0, rerank=0, total=0)
    return Retrieval(query="rule", collection="c", hits=(hit,), rerank_status="full", timings_ms=took, provenance={})


def quotes_of(text: str) -> list[str]:
    """What the extractive answer quotes, each of which the guard accepts."""
    found = found_in(text)
    answer = extractive_answer("rule", [found], FakeReranker(), "no model", quoted_hits=3)
    assert guard(answer.answer, answer.citations, [found], "flag").refused == ()
    return [citation.quote for citation in answer.citations]


@pytest.mark.parametrize(
    "sentences",
    [
        ["我们先用向量检索取回二十个候选段落。", "然后用交叉编码器逐一阅读每个段落并打分。"],
        ["最初に二十件の候補を取り出します。", "次にクロスエンコーダーが質問と一緒に読みます。"],
        ["ระบบจะค้นหาเอกสารยี่สิบรายการก่อน"],
    ],
)
def test_languages_without_spaces_are_quoted(sentences: list[str]) -> None:
    assert quotes_of("".join(sentences)) == sentences


def test_thai_is_quoted_by_its_phrases() -> None:
    phrases = [f"ระบบจะค้นหาเอกสารยี่สิบรายการก่อน{'ก' * n}" for n in range(8)]
    assert set(quotes_of(" ".join(phrases))) <= set(phrases)
    assert quotes_of(" ".join(phrases))


def test_no_half_of_markup_is_quoted() -> None:
    text = (
        "**Always pin the model to one commit. Never float it in any service.** "
        "See [the long page. It says more](http://x.y/z) about this. Use `a.b. And so on and so forth it` goes. "
        "This shows ![a picture](http://x.y/z.png) of the whole of it. This is <b>bold. And</b> so is this one here."
    )
    quotes = quotes_of(text)
    assert quotes[:2] == ["Always pin the model to one commit.", "Never float it in any service."]
    assert not any(mark in quote for quote in quotes for mark in ("**", "](", "![", "<b", "/b>"))
    assert all(quote.count("`") % 2 == 0 for quote in quotes)


def test_entities_do_not_become_html() -> None:
    text = "To load images write &lt;img src=x onerror=alert(1)&gt; in the body of it. Then look at the page once more."
    assert quotes_of(text) == ["Then look at the page once more."]


def test_a_sources_own_marker_is_no_citation() -> None:
    found = found_in("The rate of births fell in 2019 by a third [2]. Nobody knows why it fell so.")
    answer = extractive_answer("rule", [found], FakeReranker(), "no model", quoted_hits=3)
    assert answer.answer == ("“The rate of births fell in 2019 by a third (2).” [1] “Nobody knows why it fell so.” [2]")
    assert answer.citations[0].quote.endswith("a third [2].")


def test_no_quote_ends_where_a_long_passage_is_cut() -> None:
    """Within a figure: 1 of 1,000."""
    sentence = "The price of the licence for every one of the users is 1"
    start = "It is so that it holds for all. " * 1_000
    text = f"{start[: MOST_CHARACTERS - len(sentence) - 1].rstrip('.')}. {sentence},000 dollars."
    assert len(text[:MOST_CHARACTERS]) == MOST_CHARACTERS
    assert not any(quote.endswith("is 1") for quote in quotes_of(text))


class NoTime(FakeReranker):
    """As one that `deadline` left no time."""

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        assert deadline is not None
        return RerankScores([], 0)


def test_without_time_to_read_sentences_the_first_are_quoted_and_it_is_said() -> None:
    found = found_in("It holds for every one of us. The first rule is that no rule holds.")
    late = extractive_answer("rule", [found], NoTime(), "no model", quoted_hits=3, deadline=1.0)
    assert late.reason == "no model; sentences in order of rank, since the deadline left no time to read them"
    assert late.citations[0].quote == "It holds for every one of us."
    failed = extractive_answer("rule", [found], FakeReranker(failure=ModelError("x")), "no model", quoted_hits=3)
    assert failed.reason == "no model; sentences in order of rank, since the reranker failed"


@pytest.mark.parametrize("unit", ["a", "`", "“", "![](", "<!--", "It is so that it is. ", "中", "**a ", "e\u0301"])
def test_no_page_holds_up_an_answer(unit: str) -> None:
    began = time.process_time()
    quotes_of(unit * (100_000 // len(unit)) + " and the tail of it.")
    assert time.process_time() - began < 5


def test_quotes_are_the_passages_own_words() -> None:
    """No compatibility form: ten squared is not 102, and a ligature stays one."""
    text = "Growth of 10² is the ﬁrst rule here. It holds in every market that we know."
    found = found_in(text)
    answer = extractive_answer("rule", [found], FakeReranker(), "no model", quoted_hits=3)
    assert [c.quote for c in answer.citations] == text.replace("here. ", "here.\n").split("\n")
    assert guard(answer.answer, answer.citations, [found], "flag").coverage == answer.coverage == 1.0

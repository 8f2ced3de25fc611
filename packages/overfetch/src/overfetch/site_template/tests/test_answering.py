"""What becomes of a language model's reply; skipped where the extra `answers` is not installed."""

import pytest

from mysite import SITE
from overfetch import keep_valid
from overfetch.testing import open_fake

dspy = pytest.importorskip("dspy")
answers = pytest.importorskip("overfetch_answers")
answering = pytest.importorskip("mysite.answering")


def test_the_answer_cites_what_it_quotes() -> None:
    with open_fake(SITE) as engine:
        retrieval = engine.search("pages", "anything")
    quotes = [{"passage": 1, "quote": retrieval.hits[0].passage.text}, {"passage": 1, "quote": "Invented."}]
    reply = {"quotes": quotes, "verdict": "answered", "answer": "So it is."}
    module = answering.PageAnswer(answers.Retriever.fixed((retrieval,)))
    with dspy.context(lm=dspy.utils.DummyLM([reply])):
        prediction = module(question="anything")
    assert prediction.answer == "So it is. [1][2]"
    assert [c.passage_id for c in keep_valid(prediction.citations, prediction.retrievals)] == [
        retrieval.hits[0].passage.id
    ]

"""Pictures, foreign links and HTML are taken out of a written answer, and the result says so."""

import time
from typing import Any

import pytest

from overfetch import Answer, Citation, Document, Draft, LanguageModel
from overfetch.answering import Answering
from overfetch.foreign import without_foreign
from overfetch.testing import FakeReranker

PAGE = Document(
    id="page",
    title="Sage",
    text="Sage is a bridge. See https://known.example/a, [b](http://known.example/b_(c)?d=1&e=2), |www.one.example/x|.",
    metadata={"url": "http://also.example/x"},
)


@pytest.mark.parametrize(
    ("text", "shown", "removed"),
    [
        ("A ![chart](https://known.example/x.png?q=1) B", "A chart B", "1 image"),
        ("A ![chart](http://e.com/a(b)c) B", "A chart B", "1 image"),
        ("A ![chart][ref] B", "A chart B", "1 image"),
        ("A [page](https://evil.example/?q=1) B", "A page B", "1 link"),
        ("A [page](javascript:alert(1)) B", "A page B", "1 link"),
        ("A [page](//evil.example) B", "A page B", "1 link"),
        ("A [page](<https://evil.example>) B", "A page B", "1 link"),
        ("A [page](https://known.example@evil.example/) B", "A page B", "1 link"),
        ("A [page](https://evil.example\\@known.example/) B", "A page B", "1 link"),
        ("A https://evil.example/?q=1 B", "A (link removed) B", "1 link"),
        ("A <https://evil.example> and www.evil.example B", "A (link removed) and (link removed) B", "2 links"),
        ("A [1]\n\n[1]: https://evil.example\nB", "A [1]\n\n\nB", "1 link"),
        ("A <b onclick=x>B</b> C", "A  B  C", "2 HTML tags"),
        ("A <script>alert(1)</script> B", "A  alert(1)  B", "2 HTML tags"),
        ("A <!-- hidden\n --> B", "A   B", "1 HTML tag"),
        ("A <<b>script> B", "A < script> B", "1 HTML tag"),
        ("![a](x) [b](http://e.e) <i>", "a b  ", "1 HTML tag, 1 image, 1 link"),
        ("[![a](http://e.e/p.png)](http://e.e)", "a", "1 image, 1 link"),
        ("[![a](http://e.e/p.png)](/local)", "[a](/local)", "1 image"),
        ("![<img src=x onerror=alert(1)>](y)", " ", "1 HTML tag, 1 image"),
        ("[<img src=http://e.e>](/local)", "[ ](/local)", "1 HTML tag"),
        ("[a](/&#47;e.e/x)", "a", "1 link"),
        ("[a](https://e.e&sol;@known.example/)", "a", "1 link"),
        ("[a](\n//e.e/x)", "[a] (link removed))", "1 link"),
        ("[a][x]\n\n[x]:\n//e.e/x", "[a][x]\n\n[x] (link removed)", "1 link"),
        ("- [x]: //e.e", "- [x] (link removed)", "1 link"),
        # A host that a passage names may be its author's: what is added to an address would be told there.
        ("A [page](https://known.example/a?d=PRIVATE) B", "A page B", "1 link"),
        ("A [page](https://known.example/ab) B", "A page B", "1 link"),
        ("A [page](https://known.example/a#PRIVATE) B", "A page B", "1 link"),
        ("A [page](https://known.example/a...!!) B", "A page B", "1 link"),
        ("A [page](<https://known.example/a PRIVATE>) B", "A page B", "1 link"),
        ("A [page](<https://known.example/a&gt; PRIVATE>) B", "A page B", "1 link"),
        ("A [page](https://known.example/a&#32;PRIVATE) B", "A page B", "1 link"),
        ("A [page](https://PRIVATE@known.example/a) B", "A page B", "1 link"),
        ("A [page](https://PRIVATE.known.example/a) B", "A page B", "1 link"),
        ("A [x]\n\n[x]: <https://known.example/a PRIVATE>\nB", "A [x]\n\n\nB", "1 link"),
        ("[a](\n<https://known.example/a PRIVATE>)", "[a] (link removed) PRIVATE>)", "1 link"),
        ("[a](\nhttps://known.example/a(PRIVATE))", "[a] (link removed)(PRIVATE))", "1 link"),
        ("A https://known.example/a(PRIVATE) B", "A (link removed)(PRIVATE) B", "1 link"),
        ("A https://known.example/a'PRIVATE B", "A (link removed)'PRIVATE B", "1 link"),
        ("A https://known.example/a<PRIVATE> B", "A (link removed)‹PRIVATE› B", "1 link"),
        (f"A https://known.example/a{'(' * 200}PRIVATE B", f"A (link removed){'(' * 200}PRIVATE B", "1 link"),
        ("![a[b[c]]](//e.e/p)", "![a[b[c]]] (link removed))", "1 link"),
    ],
)
def test_what_is_foreign_is_taken_out(retrieval_of: Any, text: str, shown: str, removed: str) -> None:
    assert without_foreign(text, [retrieval_of("q", PAGE)]) == (shown, f"taken out of the answer: {removed}")


@pytest.mark.parametrize(
    "text",
    [
        "A [page](https://known.example/a/) and [that](<http://known.example/a>) B",
        "A [page](http://known.example/b_(c)?d=1&amp;e=2) B",
        "A https://also.example/x. B (https://known.example/a)[1].",
        "A http://known.example/b_(c)?d=1&e=2, www.one.example/x and <https://www.one.example/x>.",
        "A [page](/local) and [below](#there) B",
        "See [2]: Note: this, and https://known.example.",
        "Write `<b>` and `![x](http://evil.example)` so.",
        "```html\n<img src=http://evil.example>\n```",
        "5 < 6 and 7 > 6, see [1] [2].",
    ],
)
def test_what_belongs_to_it_stays(retrieval_of: Any, text: str) -> None:
    assert without_foreign(text, [retrieval_of("q", PAGE)]) == (text, None)


def test_placeholders_stay_readable(retrieval_of: Any) -> None:
    assert without_foreign("Run eval <FOLDER> a<b", [retrieval_of("q", PAGE)]) == ("Run eval ‹FOLDER› a< b", None)


def test_the_result_says_so(retrieval_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    retrieval = retrieval_of("q", PAGE)
    quote = Citation(passage_id=retrieval.hits[0].passage.id, document_id="page", quote="Sage is a bridge.")
    draft = Draft(answer="![x](http://evil.example) It is [1](http://evil.example).", citations=(quote,), note="noted")
    monkeypatch.setattr("overfetch.answering.load_answer_function", lambda path: lambda request: draft)
    answer = Answering("any", FakeReranker(), LanguageModel(name="openai/x")).answer("q", [retrieval])
    assert isinstance(answer, Answer)
    assert answer.reason == "noted; taken out of the answer: 1 image, 1 link"
    assert answer.answer == "x It is [1]."


@pytest.mark.parametrize(
    "unit", ["<", "<a ", "<!--", "![", "![](", "[a](", "[[", "[a]: b", "www.", "https://a", "<a>", "[a]:"]
)
def test_no_answer_takes_more_than_its_length_allows(retrieval_of: Any, unit: str) -> None:
    began = time.process_time()
    without_foreign(unit * (20_000 // len(unit)), [retrieval_of("q", PAGE)])
    assert time.process_time() - began < 2

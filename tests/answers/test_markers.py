"""Citation markers of every shape are resolved, renumbered or flagged; code is left alone."""

import time
from typing import Any

import pytest

from overfetch import Citation, Document, guard, has_markers, renumber_markers
from overfetch.citations import UNVERIFIED
from overfetch.markers import FILLER, mask_code
from overfetch_answers import mark

NUMBERS = {1: [7], 2: [8], 3: [9]}
GOOD, BAD = "Sage is a bridge between programs.", "Sage costs five dollars a month."


def renumbered(text: str) -> str:
    return renumber_markers(text, NUMBERS, "[?]")


@pytest.mark.parametrize(
    ("marker", "shown"),
    [
        ("[1]", "[7]"),
        ("[ 1 ]", "[7]"),
        ("[1, 3]", "[7][9]"),
        ("[1][2] [3]", "[7][8][9]"),
        ("[1-3]", "[7][8][9]"),
        ("[1–2]", "[7][8]"),
        ("[1 and 3]", "[7][9]"),
        ("[^1]", "[7]"),
        ("[#2]", "[8]"),
        ("[passage 2]", "[8]"),
        ("[Source: 2]", "[Source: 2]"),
        ("［1］", "[7]"),
        ("【１】", "[7]"),
        ("【1†source】", "[7]"),
        ("〔2〕", "[8]"),
        (r"\[1\]", "[7]"),
        ("&#91;1&#93;", "[7]"),
        ("[[1]]", "[[7]]"),
        ("(1)", "[7]"),
        ("( 1, 2 )", "[7][8]"),
        ("[4]", "[?]"),
        ("[ 4 ]", "[?]"),
        ("[^4]", "[?]"),
        ("(4)", "[?]"),
        ("［4］", "[?]"),
        ("[1-999999999]", "[7]"),
        ("[1234567]", "[?]"),
    ],
)
def test_every_shape_of_marker_is_read(marker: str, shown: str) -> None:
    assert renumbered(f"It is so {marker}. Then more.") == f"It is so {shown}. Then more."
    assert has_markers(f"It is so {marker}.") == (marker != shown)


@pytest.mark.parametrize(
    "text",
    [
        "Two ways lead there: (1) by hand, (2) by script.",
        "(1) by hand\n(2) by script",
        "1) by hand\n2) by script",
        "Call f(1), then g(2).",
        "It came out in May (2024).",
        "- [ ] open\n- [x] done",
        "[a] and [1a] and [v1.2]",
    ],
)
def test_what_is_no_marker_stays(text: str) -> None:
    """In round brackets a number is a marker where it ends something, not where a word follows."""
    assert renumbered(text) == text
    assert not has_markers(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is so (1), they say (2); or not (3)", "It is so [7], they say [8]; or not [9]"),
        ("It is so (1)(2).", "It is so [7][8]."),
        ("它是一座桥（1）。", "它是一座桥[7]。"),
    ],
)
def test_round_markers_end_something(text: str, shown: str) -> None:
    assert renumbered(text) == shown


CODE = [
    "See `row[1]` of it.",
    "See ``a ` row[1]`` of it.",
    "```\nx = items[0]\n```",
    "~~~py\nx = items[1]\n\ny = [2]\n~~~\nand on",
    "> ```\n> x = items[0]\n> ```",
    "1. So:\n   ```\n   x = items[0]\n   ```\n2. and on",
    "- So `a[1]` it is\n- and > `b[2]`",
    "> So `a[1]` it is",
]


@pytest.mark.parametrize("text", CODE)
def test_code_is_left_alone(text: str) -> None:
    assert renumbered(text) == text
    assert renumbered(text.replace("\n", "\r\n")) == text.replace("\n", "\r\n")
    assert not has_markers(text)
    assert len(mask_code(text)) == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "It`s so [1] and that`s it.",
        "A ` here [1] and a ` there.",
        "A ` here [1].\nAnd a ` there.",
        "A `here [1]\nand there` too.",
        "A ```` here [1] and ``` there.",
        "```\nnever closed [1]",
        "\\`so [1] it is`.",
        "    indented [1]",
        "A `code` and [1] `more`.",
    ],
)
def test_stray_backticks_make_no_code(text: str) -> None:
    assert renumbered(text) == text.replace("[1]", "[7]")
    assert has_markers(text)


@pytest.mark.parametrize(
    "unit", ["`", "` ", "``` ", "```\n", "`a` ", "[1]", "[1", "(1) ", "[1, ", "> ", "- ", "~~~\n", "[1-2"]
)
def test_no_answer_takes_more_than_its_length_allows(unit: str) -> None:
    began = time.process_time()
    renumbered(unit * (20_000 // len(unit)))
    assert time.process_time() - began < 2


@pytest.fixture
def guarded(retrieval_of: Any) -> Any:
    """What is served of a text whose first citation is refused and whose second holds."""
    retrieval = retrieval_of("q", Document(id="page", title="Sage", text=GOOD))
    passage = retrieval.hits[0].passage
    quotes = [Citation(passage_id=passage.id, document_id="page", quote=quote) for quote in (BAD, GOOD)]

    def serve(text: str, on_refused: Any = "flag") -> str:
        return guard(text, quotes, [retrieval], on_refused).answer

    return serve


@pytest.mark.parametrize("marker", ["[1]", "[ 1 ]", "[^1]", "(1)", "［1］", "[1-1]", "【1†x】"])
def test_a_refused_citation_is_never_served_as_a_good_one(guarded: Any, marker: str) -> None:
    """Its number would name the first that holds."""
    assert guarded(f"Don`t pay {marker}. It`s a bridge [2].") == f"Don`t pay {UNVERIFIED}. It`s a bridge [1]."
    assert guarded(f"Don`t pay {marker}. It`s a bridge [2].", "drop") == "It`s a bridge [1]."


def test_code_in_an_answer_is_served_as_it_is(guarded: Any) -> None:
    text = "It is a bridge [2].\n\n```py\nx = items[0]\ny = items[1]. Z\n```\n\nIt costs [1]. Use `a[1]. B[2]`."
    assert guarded(text) == text.replace("bridge [2]", "bridge [1]").replace("costs [1]", f"costs {UNVERIFIED}")
    assert "x = items[0]\ny = items[1]. Z\n```" in guarded(text, "drop")
    assert "It costs" not in guarded(text, "drop")


def test_passages_become_citations_in_every_shape() -> None:
    assert mark("It`s so [ 3 ] and that`s it (2). `a[3]` (9).", {3: [1], 2: [2]}) == (
        "It`s so [1] and that`s it [2]. `a[3]` [0]."
    )


def test_a_mask_is_as_long_as_its_text() -> None:
    assert mask_code("a `b` c") == f"a {FILLER * 3} c"

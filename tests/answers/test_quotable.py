"""What an extractive answer quotes: sentences, items, rows and lines of code, what names the thing asked for first."""

import pytest

from overfetch import Chunk, Document, Hit, Passage, Retrieval, guard
from overfetch.extracting import extractive_answer, named_first
from overfetch.quotable import Piece, pieces_of
from overfetch.testing import FakeReranker
from overfetch.types import Reading, Timings

NO_TIME = Timings(embed=0, search=0, rerank=0, total=0)

PAGE = """Limits are set per client. They hold for all of its requests.

- `max_connections`: how many may be open
  at once, 100 by default
- `max_keepalive_connections`: how many stay open
    - of these, none after a minute

| Option | What it does |
|---|---|
| `--flag` | does one thing |

!!! note
    Nothing is said of proxies here.

Set them so:

```python
limits = httpx.Limits(max_connections=5)
retries[1] = limits  # of the second
```

    indented = code_too(1)
1. first do this
"""


def test_items_rows_and_code_are_pieces() -> None:
    assert [(piece.text.strip(), piece.kind) for piece in pieces_of(PAGE)] == [
        ("Limits are set per client.", "prose"),
        ("They hold for all of its requests.", "prose"),
        ("`max_connections`: how many may be open\nat once, 100 by default", "line"),
        ("`max_keepalive_connections`: how many stay open", "line"),
        ("of these, none after a minute", "line"),
        ("`--flag` | does one thing", "line"),
        ("Nothing is said of proxies here.", "prose"),
        ("limits = httpx.Limits(max_connections=5)", "code"),
        ("retries[1] = limits  # of the second", "code"),
        ("indented = code_too(1)", "code"),
        ("first do this", "line"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "# A heading of its own\n> and what somebody said about it",
        "It is done in the following way:",
        "Notes: https://etherscan.io/address/0xC3D10bd8e051a2bE6408d18Be8464654F699a25a and others",
        "```\nx = `a b c d`\n```",
        "| Only | a head |\n|---|---|",
        "too short",
    ],
)
def test_what_says_nothing_alone_is_no_piece(text: str) -> None:
    assert list(pieces_of(text)) == []


def test_code_goes_with_what_is_indented_below_it() -> None:
    text = "```\nfrom a import b\n--flag <VALUE>\n    what it is for\n\n    and more of it\nuv sync now\n```"
    assert [piece.text for piece in pieces_of(text)] == [
        "--flag <VALUE>\nwhat it is for",
        "and more of it",
        "uv sync now",
    ]
    long = "if True:\n" + "\n".join(f"    x = {number}" for number in range(30))
    assert list(pieces_of(f"```\n{long}\n```"))[:1] == [Piece("x = 0", "code")]


def test_an_indented_note_is_prose() -> None:
    text = "    Where it runs in a _project_, you'll want\n    to use [`run`](http://x.y) instead.\n\n    x = y(1) + z"
    assert list(pieces_of(text)) == [
        Piece("Where it runs in a project, you'll want\nto use `run` instead.", "prose"),
        Piece("x = y(1) + z", "code"),
    ]


def test_options_of_a_directive_are_passed_over() -> None:
    text = "::: dspy.BestOfN\n    options:\n        members:\n            - one two three four\n\nIt is said below it."
    assert [piece.text for piece in pieces_of(text)] == ["It is said below it."]


def test_a_fence_that_never_ends_is_code() -> None:
    assert list(pieces_of("```\nuv sync --locked now")) == [Piece("uv sync --locked now", "code")]


def retrieved(*texts: str, named: tuple[str, ...] = (), leads: int = 0) -> Retrieval:
    hits = []
    for rank, text in enumerate(texts, start=1):
        page = Document(id=f"page-{rank}", title="Page", text=text)
        passage = Passage.of(page, 0, Chunk(breadcrumb="Page", text=text))
        hits.append(Hit(rank=rank, passage=passage, first_stage_rank=rank, first_stage_score=1.0, leads=rank <= leads))
    return Retrieval(
        query="how many stay open",
        collection="c",
        understood=Reading(text="how many stay open", named=named),
        hits=tuple(hits),
        rerank_status="full",
        timings_ms=NO_TIME,
        provenance={},
    )


def quotes(retrieval: Retrieval) -> list[str]:
    """Each of which the guard accepts, and numbers as the answer does."""
    answer = extractive_answer(retrieval.query, [retrieval], FakeReranker(), "no model", quoted_hits=3)
    guarded = guard(answer.answer, answer.citations, [retrieval])
    assert (guarded.answer, guarded.citations, guarded.refused) == (answer.answer, answer.citations, ())
    return [citation.quote for citation in answer.citations]


def test_code_in_prose_is_quoted_letter_for_letter() -> None:
    assert quotes(retrieved("**Always** call `__init__` of the `*base*` class.")) == [
        "Always call `__init__` of the `*base*` class."
    ]


def test_what_has_the_name_is_quoted_before_what_has_not() -> None:
    assert quotes(retrieved(PAGE))[:2] == [
        "`max_connections`: how many may be open at once, 100 by default",
        "`max_keepalive_connections`: how many stay open",
    ]
    assert "limits = httpx.Limits(max_connections=5)" not in quotes(retrieved(PAGE))
    assert "limits = httpx.Limits(max_connections=5)" in quotes(retrieved(PAGE, named=("httpx.Limits",)))
    assert "`--flag` | does one thing" in quotes(retrieved(PAGE, named=("--flag", "max_connections")))


def test_code_is_set_as_code_and_its_brackets_cite_nothing() -> None:
    retrieval = retrieved("```\nretries[1] = limits of the second\n```")
    answer = extractive_answer("retries", [retrieval], FakeReranker(), "no model", quoted_hits=3)
    assert answer.answer == "`retries[1] = limits of the second` [1]"
    assert quotes(retrieval) == ["retries[1] = limits of the second"]


def test_beside_hits_that_lead_no_other_is_quoted() -> None:
    texts = ("Ten of them are kept by this one.", "So many stay open: how many stay open there?")
    assert quotes(retrieved(*texts))[-1] == texts[1]
    assert quotes(retrieved(*texts, leads=1)) == [texts[0]]


def test_names_have_turns_and_are_words_of_their_own() -> None:
    texts = ["The Sunday", "the sun again", "Sun and Moon", "moonlight", "the  moon's"]
    assert named_first(texts, ["the sun", "moon"]) == [1, 2, 4, 0, 3]
    assert named_first(texts, []) == [0, 1, 2, 3, 4]
    assert named_first(["a--flagged", "use --flag now"], ["--flag"]) == [1, 0]

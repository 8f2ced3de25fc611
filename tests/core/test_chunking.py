"""Documents to passages: nothing is lost, nothing is too long, and what was not known yet stays hidden."""

import random
import re
import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from overfetch.chunking import chunk_by_headings, require_chunks, split_at_headings
from overfetch.engine import Engine
from overfetch.errors import CorpusError, SettingsError
from overfetch.filters import AnyOf
from overfetch.indexing import to_passages
from overfetch.pieces import split_by_words
from overfetch.sites import Collection, load_site
from overfetch.testing import open_fake
from overfetch.token_counting import token_counter
from overfetch.types import Chunk, Document

COLLECTIONS = [
    collection for name in ("builddaily", "paiddaily", "sagedaily") for collection in load_site(name).collections
]
CATALYSTS = load_site("paiddaily").collection("catalysts")
CANON = load_site("sagedaily").collection("canon")
TODAY = date(2026, 11, 26)


def sections(markdown: str) -> list[tuple[str, str]]:
    return [(" > ".join(path), text) for path, text in split_at_headings(markdown)]


def words(pieces: Iterator[str] | list[str]) -> list[str]:
    return [word for piece in pieces for word in piece.split()]


def test_breadcrumbs_nest_and_unwind() -> None:
    markdown = "# A\none\n## B\ntwo\n### C\nthree\n## D\nfour\n# E\n\n### F\nfive"
    assert sections(markdown) == [
        ("A", "one"),
        ("A > B", "two"),
        ("A > B > C", "three"),
        ("A > D", "four"),
        ("E > F", "five"),
    ]


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_headings_in_fences_are_code(fence: str) -> None:
    code = f"{fence}sh\n# not a heading\n## nor this\n{fence}"
    assert sections(f"# A\nbefore\n\n{code}\n\nafter\n# B\nend") == [("A", f"before\n\n{code}\n\nafter"), ("B", "end")]


def test_a_shorter_fence_does_not_close_a_longer_one() -> None:
    code = "````\n```\n# still code\n```\n````"
    assert sections(f"{code}\n# A\nend") == [("", code), ("A", "end")]


@pytest.mark.parametrize(
    "block",
    ["    # indented code", "> # quoted", "- # in a list", "#no space", "####### seven", "<!--\n# comment\n-->"],
)
def test_other_number_signs_are_no_headings(block: str) -> None:
    assert [path for path, _ in sections(f"# A\ntext\n\n{block}\n\nmore")] == ["A"]


def test_setext_headings() -> None:
    markdown = "Title\n=====\n\none\n\nSub\ntitle\n---\ntwo\n\n---\n\nthree"
    assert sections(markdown) == [("Title", "one"), ("Title > Sub title", "two\n\n---\n\nthree")]


def test_a_long_paragraph_above_a_rule_is_no_heading() -> None:
    """It would stand above every chunk that follows."""
    paragraph = "word " * 100
    assert sections(f"# A\n{paragraph}\n---\n## B\ntext") == [("A", f"{paragraph}\n---"), ("A > B", "text")]


def test_closing_signs_and_spaces_are_not_part_of_a_heading() -> None:
    assert sections("  ##   A   ##  \ntext") == [("A", "text")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_do_not_matter(end: str) -> None:
    assert sections(end.join(["intro", "# A", "one", "# B", "two"])) == [("", "intro"), ("A", "one"), ("B", "two")]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_separators_that_are_no_line_ends_lose_nothing(separator: str) -> None:
    markdown = f"one{separator}two\n# A\nthree{separator}four\n# B\nfive"
    assert sections(markdown) == [("", f"one{separator}two"), ("A", f"three{separator}four"), ("B", "five")]


def test_a_heading_alone_is_text() -> None:
    markdown = "# A\n## Gone since 3.12\n## B\ntext\n# C\n## Nothing here"
    assert sections(markdown) == [("A", "Gone since 3.12"), ("A > B", "text"), ("C", "Nothing here")]
    assert sections("#\n\n# \n") == []


def test_the_title_is_not_said_twice() -> None:
    page = Document(id="ruff", title="Ruff", text="# Ruff\nA linter.\n## Rules\nMany.")
    assert [(c.breadcrumb, c.text) for c in chunk_by_headings(page, 100)] == [
        ("Ruff", "A linter."),
        ("Ruff > Rules", "Many."),
    ]


def test_a_document_without_text_is_found_by_its_title() -> None:
    for made in ([], [Chunk(breadcrumb="", text=" ")]):
        assert require_chunks(Document(id="a", title="A", text=" "), made) == [Chunk(breadcrumb="", text="A")]


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ([], "made no chunk of 'About it.'"),
        ([Chunk(breadcrumb=" ", text="\n")], "made no chunk of 'About it.'"),
        ([Chunk(breadcrumb="A", text="About it."), Chunk(breadcrumb="", text="")], "neither text nor breadcrumb"),
        ("text", "gave 't', expected a Chunk"),
    ],
)
def test_no_text_is_lost_by_a_chunker_unseen(chunks: Any, said: str) -> None:
    with pytest.raises(CorpusError, match=f"document 'a': its chunker .*{said}"):
        require_chunks(Document(id="a", title="A", text="About it."), chunks)


def test_cuts_prefer_paragraphs_then_lines_then_sentences() -> None:
    assert split_by_words("a b\n\nc d\n\ne f", 4) == ["a b\n\nc d", "e f"]
    assert split_by_words("a b\nc d\ne f", 4) == ["a b\nc d", "e f"]
    assert split_by_words("One two. Three four! Five six?", 4) == ["One two. Three four!", "Five six?"]
    assert split_by_words("Use v1.2 of a.b now. Then stop.", 5) == ["Use v1.2 of a.b now.", "Then stop."]
    assert split_by_words("a b c d e", 2) == ["a b", "c d", "e"]


@pytest.mark.parametrize("separator", [" ", "\n", "\n\n", ". ", "\t", "\u00a0", "\u3000", " \n \n "])
@pytest.mark.parametrize("limit", [1, 7, 140])
def test_the_limit_holds_whatever_stands_between_words(separator: str, limit: int) -> None:
    text = separator.join(f"w{number}" for number in range(500))
    pieces = split_by_words(text, limit)
    assert max(len(piece.split()) for piece in pieces) == limit
    assert words(pieces) == text.split()


def test_one_word_too_many_is_cut() -> None:
    assert split_by_words("a b c", 3) == ["a b c"]
    assert split_by_words("a b c d", 3) == ["a b c", "d"]


@pytest.mark.parametrize(
    ("text", "longest"),
    [
        ("x" * 20_000, 140 * 8),
        ("https://example.org/" + "a/" * 3_000, 140 * 8),
        ("function(a){return;b}" * 12_000, 140 * 8),
        ("漢字" * 5_000, 140 * 2),
        ("検索の説明です。これは短い。" * 400, 140 * 2),
        ("ระบบค้นหาเอกสาร" * 300, 140 * 2),
    ],
)
def test_a_text_without_spaces_is_cut(text: str, longest: int) -> None:
    pieces = split_by_words(text, 140)
    assert "".join(pieces) == text
    assert longest // 2 < max(map(len, pieces)) <= longest


def test_cuts_prefer_the_end_of_a_sentence_in_scripts_without_spaces() -> None:
    pieces = split_by_words("检索系统先取回候选段落，然后逐一打分。" * 230, 140)
    assert {piece[-1] for piece in pieces} == {"。"}


def test_what_has_no_spaces_stays_in_its_prose() -> None:
    """Base64 is cut by itself; the sentences around it are whole."""
    pieces = split_by_words(f"Before it comes. {'QUJD' * 2_000} After it.", 140)
    assert (pieces[0], pieces[-1].endswith(" After it.")) == ("Before it comes.", True)
    assert all(len(piece) <= 1_140 for piece in pieces)


def test_every_piece_of_a_table_names_its_columns() -> None:
    table = "| name | port |\n|---|---|\n" + "".join(f"| svc{n} | {7000 + n} |\n" for n in range(60))
    pieces = split_by_words(f"Before.\n\n{table}\nAfter.", 50)
    rows = [piece.split("| name | port |\n|---|---|\n") for piece in pieces]
    assert all(len(parts) == 2 for parts in rows)
    assert "".join(f"{parts[1].splitlines()}" for parts in rows).count("svc") == 60
    assert (rows[0][0], pieces[-1].endswith("After.")) == ("Before.\n\n", True)


@pytest.mark.parametrize("fence", ["```", "~~~~"])
@pytest.mark.parametrize("closed", [True, False])
def test_every_piece_of_code_has_its_fences(fence: str, closed: bool) -> None:
    code = "\n".join(f"step{n}(value)\n" for n in range(60))
    pieces = split_by_words(f"Before.\n\n{fence}python\n{code}\n{fence if closed else ''}", 30)
    assert len(pieces) > 2
    for piece in pieces[1:]:
        assert piece.startswith(f"{fence}python\nstep")
        assert piece.endswith(f"\n{fence}")
    assert words(pieces).count("step59(value)") == 1


def test_a_table_with_nothing_but_a_header_is_cut_as_text() -> None:
    header = " | ".join(f"column{n}" for n in range(100))
    pieces = split_by_words(f"| {header} |\n|{'---|' * 100}\n", 50)
    assert all(len(piece.split()) <= 50 for piece in pieces)
    assert "column99" in words(pieces)


def test_the_indentation_of_a_first_line_is_kept() -> None:
    items = "- a\n" + "".join(f"    - word{n} more\n" for n in range(40))
    assert all(line.startswith("    - ") for piece in split_by_words(items, 30)[1:] for line in piece.splitlines())


def test_an_empty_heading_has_no_name() -> None:
    assert sections("# A\n##\n### B\ntext\n#\n## C\n# D\nend") == [("A > B", "text"), ("", "C"), ("D", "end")]


@pytest.mark.parametrize(
    "block",
    ["[" * 1_000, "`" * 999 + " ", "![](" * 300, "<!--" * 300, "漢" * 1_000, "| a " * 300, "> " * 500, "x" * 1_000],
)
def test_foreign_text_is_cut_in_linear_time(block: str) -> None:
    page = Document(id="a", title="A", text=block * 300)
    began = time.process_time()
    assert list(chunk_by_headings(page, max_words=140))
    assert time.process_time() - began < 10


@pytest.mark.parametrize("text", ["", " ", "\n\n\t"])
def test_white_space_makes_no_piece(text: str) -> None:
    assert split_by_words(text, 5) == []


def random_page(seed: int) -> tuple[str, list[str]]:
    """Markdown of random blocks, and its words in reading order but for markup."""
    chance = random.Random(seed)
    blocks: list[str] = []
    expected: list[str] = []
    for number in range(chance.randint(1, 25)):
        some = [f"w{seed}x{number}x{place}" for place in range(chance.choice((1, 3, 30, 300)))]
        heading, code = chance.random() < 0.3, chance.random() < 0.2
        if heading:
            some = some[:3]
        body = chance.choice((" ", "\n", ". ", "! ")).join(some) if not heading else " ".join(some)
        blocks.append(f"{'#' * chance.randint(1, 6)} {body}" if heading else f"```\n{body}\n```" if code else body)
        expected.append("" if heading else blocks[-1])
    return "\n\n".join(blocks), " ".join(expected).split()


@pytest.mark.parametrize("seed", range(40))
def test_no_word_is_lost_or_moved(seed: int) -> None:
    markdown, expected = random_page(seed)
    page = Document(id="page", title="Page", text=markdown)
    chunks = list(chunk_by_headings(page, 50))
    kept = words([chunk.text for chunk in chunks])
    # Fences are there again in every piece of cut code.
    assert [word for word in kept if word in {*expected} - {"```"}] == [word for word in expected if word != "```"]
    everything = kept + words([chunk.breadcrumb for chunk in chunks])
    assert set(markdown.replace("#", "").split()) <= set(everything)
    assert all(len(chunk.text.split()) <= 50 for chunk in chunks)
    assert chunks == list(chunk_by_headings(page, 50))


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda c: c.answering)
def test_site_chunkers_hold_the_limit_and_are_deterministic(collection: Collection) -> None:
    for document in collection.read():
        passages = to_passages(collection, document)
        assert passages == to_passages(collection, document)
        assert len({passage.id for passage in passages}) == len(passages)
        assert all(0 < len(passage.text.split()) <= 140 for passage in passages)
        assert all(document.title in passage.breadcrumb for passage in passages)
        assert all(passage.metadata["sample"] is True for passage in passages)


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda c: c.answering)
def test_site_chunkers_keep_every_word(collection: Collection) -> None:
    for document in collection.read():
        passages = to_passages(collection, document)
        # A heading in a breadcrumb may lose its marks of code and links.
        kept = {word for passage in passages for word in re.findall(r"\w+", passage.reading)}
        assert set(re.findall(r"\w+", document.text)) <= kept, document.id


def test_a_page_opens_with_its_summary() -> None:
    resources = load_site("builddaily").collection("resources")
    page = Document(id="a", title="A", text="# A\nBody.", metadata={"summary": "In short."})
    assert [p.text for p in to_passages(resources, page)] == ["In short.", "Body."]


def test_a_ticker_names_symbol_sector_and_heading() -> None:
    tickers = {ticker.id: ticker for ticker in load_site("paiddaily").collection("tickers").read()}
    passages = to_passages(load_site("paiddaily").collection("tickers"), tickers["MSFT"])
    assert [p.breadcrumb for p in passages] == [
        f"Microsoft (MSFT) > Software > {heading}"
        for heading in ("Profile", "Pre-earnings setup", "Price action", "Risks")
    ]


def event(**metadata: str) -> Document:
    known = {"date": "2025-01-01", "known_at": "2025-01-01", "outcome": "It doubled.", **metadata}
    return Document(id="event", title="Listing", text="A pair opens.", metadata=known)


@pytest.mark.parametrize(
    ("metadata", "known_at"),
    [
        ({}, None),
        ({"outcome_date": "2025-03-05"}, "2025-03-05T23:59:59+00:00"),
        ({"outcome_date": "2025-03-05T14:30:00+01:00"}, "2025-03-05T14:30:00+01:00"),
    ],
)
def test_an_outcome_is_dated_when_it_was_known(metadata: dict[str, str], known_at: str | None) -> None:
    happened, outcome = to_passages(CATALYSTS, event(**metadata))
    assert (happened.text, happened.metadata["known_at"]) == ("A pair opens.", "2025-01-01T23:59:59+00:00")
    assert (outcome.text, outcome.metadata.get("known_at")) == ("It doubled.", known_at)
    assert "doubled" not in happened.model_dump_json()
    assert not {"outcome", "outcome_date"} & (happened.metadata.keys() | outcome.metadata.keys())


@pytest.fixture(scope="module")
def catalysts() -> Engine:
    return open_fake(load_site("paiddaily"))


def days_after(event: Document, days: int) -> str:
    return (date.fromisoformat(str(event.metadata["date"])) + timedelta(days=days)).isoformat()


def seen(engine: Engine, event: Document, as_of: str | None) -> str:
    """Everything that a search for the event by its own words would show of it."""
    query = f"{event.title} {event.metadata['outcome']}"
    where = [f"symbol={event.metadata['symbol']}"]
    retrieval = engine.search(
        "catalysts", query, as_of=as_of, where=where, top_k=300, top_n=300, one_per_document=False
    )
    passages = [hit.passage for hit in retrieval.hits if hit.passage.document_id == event.id]
    return "\n".join(str(value) for p in passages for value in (p.reading, *p.metadata.values()))


@pytest.mark.parametrize("event", [*CATALYSTS.read()], ids=lambda e: e.id)
def test_as_of_hides_every_outcome_of_unknown_date(event: Document, catalysts: Engine) -> None:
    """Over all sample events, none of which says when its outcome was known."""
    outcome = str(event.metadata["outcome"])
    assert seen(catalysts, event, days_after(event, -1)) == ""
    assert seen(catalysts, event, f"{days_after(event, 0)}T12:00:00") == ""
    for days in (0, 1, 30, 3650):
        shown = seen(catalysts, event, days_after(event, days))
        assert event.title in shown
        assert outcome not in shown
    assert outcome in seen(catalysts, event, None)


def test_a_drawn_card_accepts_its_orientation_only() -> None:
    part = CANON.understand(" The Tower ,  REVERSED ", TODAY)
    assert part.text == "The Tower, reversed"
    assert part.conditions == (AnyOf(field="orientation", values=("reversed", "any")),)


@pytest.mark.parametrize("text", ["Saturn square Moon", "reversed", ", reversed", "The Tower, sideways", "a, b, c"])
def test_a_part_without_an_orientation_filters_nothing(text: str) -> None:
    part = CANON.understand(text, TODAY)
    assert (part.text, part.conditions) == (text, ())


def test_entries_without_an_orientation_stay_in_every_draw() -> None:
    engine = open_fake(load_site("sagedaily"))
    for orientation in ("upright", "reversed"):
        hits = engine.search("canon", f"The Tower, {orientation}", top_k=200, top_n=200).hits
        found = {str(hit.passage.metadata["orientation"]) for hit in hits}
        assert found == {orientation, "any"}


def test_a_reading_searches_each_part_on_its_own() -> None:
    engine = open_fake(load_site("sagedaily"))
    answer = engine.ask("Shall I move?", parts=["The Tower, reversed", "The Star, upright"])
    assert [r.query for r in answer.retrievals] == ["The Tower, reversed", "The Star, upright"]
    assert [r.read for r in answer.retrievals] == [
        "The Tower, reversed: Shall I move?",
        "The Star, upright: Shall I move?",
    ]
    allowed = [{"reversed", "any"}, {"upright", "any"}]
    for retrieval, orientations in zip(answer.retrievals, allowed, strict=True):
        assert {str(hit.passage.metadata["orientation"]) for hit in retrieval.hits} <= orientations
        assert retrieval.hits


def test_pieces_are_bounded_by_the_tokens_of_a_model() -> None:
    """What no word count sees: code of one-letter words and signs, numbers, rare names."""
    count = token_counter("all-minilm-l6-v2")
    text = "if (x[i] != y[j]) { return -1; } 0x7fffabcd Zwölftonmusik\n" * 60 + "Ω≈ç√∫˜µ≤" * 400
    pieces = split_by_words(text, 200, count)
    assert max(map(count, pieces)) <= 200
    assert "".join("".join(pieces).split()) == "".join(text.split())
    assert count("retrieve twenty") == 2


def test_a_model_that_no_package_carries_counts_nothing() -> None:
    with pytest.raises(SettingsError, match="all-minilm-l6-v2"):
        token_counter("bge-reranker-base")


def test_code_whose_fences_alone_reach_the_limit_is_cut_all_the_same() -> None:
    assert split_by_words("```\na b c d\n```\n", 2) == ["```", "a b", "c d", "```"]

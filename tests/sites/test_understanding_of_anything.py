"""Whatever is asked, a site reads it: words of all sites in any order, signs, scripts, and texts as long as allowed."""

import random
import string
from datetime import date

import pytest

from overfetch import AskRequest, load_site, site_names
from overfetch.requests import LONGEST_QUERY
from overfetch.sites import Collection

DAY = date(2026, 1, 1)
WORDS = [
    "the",
    "of",
    "q",
    "x",
    "$T",
    "a.b",
    "--x",
    "C++",
    "12",
    "Death",
    "XIII",
    "moon",
    "in",
    "Scorpio",
    "aapl",
    "$ENJ",
    "spring",
    "2022",
    "around",
    "10",
    "March",
    "2023",
    "not",
    ",",
    ":",
    "?",
    "\u200b",
    "é",
    "汉字",
    "eip",
    "1559",
    "before",
    "last",
    "q3",
    "over",
    "100",
    "million",
    "vs",
    "error",
    "uv.lock",
    "@",
    "#",
    "%",
    "()",
    "[]",
    "reversed",
    "my",
]
ODD = ["q", "the", "?", "  x ", "the of", "-", "$", "\n\t x", *(["a", "x", "(", "́", "汉", "$A", "1,"])]
COLLECTIONS = [collection for name in site_names() for collection in load_site(name).collections]


def questions() -> list[str]:
    draw = random.Random(7)
    mixed = [" ".join(draw.choices(WORDS, k=draw.randint(1, 9))) for _ in range(600)]
    signs = ["".join(draw.choices(string.printable, k=draw.randint(1, 30))) for _ in range(300)]
    longest = [(unit * LONGEST_QUERY)[:LONGEST_QUERY] for unit in ("a", "x ", "( ", "XIII ", "$A ", "1, ")]
    return [q for q in [*ODD, *mixed, *signs, *longest] if q.strip()]


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda c: c.answering)
def test_anything_is_read(collection: Collection) -> None:
    for question in questions():
        AskRequest.of(question)
        read = collection.understand(question, DAY)
        assert read.text.strip(), question
        assert {c.field for f in read.focuses for c in f.conditions} <= collection.filters.keys()

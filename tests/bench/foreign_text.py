"""Sixty-odd shapes of foreign text at 1x, 2x and 4x length through whatever reads it: how time grows per doubling.

    uv run --group dev python tests/bench/foreign_text.py

Prints milliseconds of CPU at each length and the growth per doubling, 2 where linear. Ends with 1 where something grows
faster than its text: by more than `MOST_GROWTH`, above a floor that noise alone reaches.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from overfetch import Chunk, Citation, Document, Hit, Passage, Retrieval, SettingsError, guard
from overfetch.chunking import chunk_by_headings
from overfetch.extracting import extractive_answer
from overfetch.filters import parse_condition
from overfetch.foreign import without_foreign
from overfetch.redacting import redacted
from overfetch.testing import FakeReranker
from overfetch.types import Timings

LENGTH = 4_000  # characters, and twice and four times as many
MOST_GROWTH = 2.8
FLOOR_MS = 8.0
ROUNDS = 3
NO_TIME = Timings(embed=0, search=0, rerank=0, total=0)

# What is repeated to the length; `{}` stands for a number that runs on.
UNITS = {
    "letters": "a",
    "words": "word ",
    "sentences": "This is one sentence of many. ",
    "numbered sentences": "This is sentence {} of many. ",
    "lines": "one line of text\n",
    "paragraphs": "One paragraph.\n\n",
    "spaces": " ",
    "line breaks": "\n",
    "carriage returns": "\r\n",
    "tabs": "\t",
    "no-break spaces": "\u00a0",
    "full stops": ".",
    "question marks": "?! ",
    "initials": "J. ",
    "abbreviations": "e.g. Mr. ",
    "digits": "1",
    "grouped digits": "1 000 ",
    "decimals": "1.1",
    "signed digits": "-5 ",
    "base64": "QmFzZTY0Cg9+/",
    "minified code": "a=b(c,{d:e});",
    "addresses": "http://a.example/{} ",
    "Chinese": "中文没有空格。",
    "Chinese without stops": "中",
    "Japanese": "これは文です。",
    "Thai": "ภาษาไทย",
    "Hebrew": "שלום עולם. ",
    "emoji": "👨‍👩‍👧",
    "combining marks": "e\u0301\u0323",
    "marks alone": "\u0301\u0323",
    "zero-width spaces": "a\u200b",
    "direction marks": "\u202ea",
    "ligatures": "ﬁ",
    "backticks": "`",
    "spaced backticks": "` ",
    "code spans": "`a` ",
    "fences": "```\n",
    "open fences": "```a\n",
    "tildes": "~~~\n",
    "asterisks": "*",
    "emphasis": "**a** ",
    "open emphasis": "**a ",
    "underscores": "_a ",
    "brackets": "[",
    "links": "[a](b) ",
    "open links": "[a](",
    "open images": "![](",
    "nested quotations": "> ",
    "nested lists": "- ",
    "headings": "# a\n",
    "heading signs": "#",
    "tables": "| a | b |\n",
    "HTML": "<b>a</b>",
    "open tags": "<a ",
    "open comments": "<!--",
    "entities": "&amp;",
    "quotation marks": '"',
    "curly marks": "“",
    "guillemets": "« ",
    "markers": "[1] ",
    "round markers": "(1) ",
    "open markers": "[1, ",
    "backslashes": "\\",
}


def shape(unit: str, length: int) -> str:
    """The unit again and again, to about that many characters."""
    if "{}" not in unit:
        return (unit * (length // len(unit) + 1))[:length]
    return "".join(unit.replace("{}", str(number)) for number in range(length // len(unit)))[:length]


def retrieved(text: str) -> Retrieval:
    passage = Passage.of(Document(id="page", title="Page", text=text), 0, Chunk(breadcrumb="Page", text=text))
    hit = Hit(rank=1, passage=passage, first_stage_rank=1, first_stage_score=1.0)
    return Retrieval(query="q", collection="c", hits=(hit,), rerank_status="full", timings_ms=NO_TIME, provenance={})


def chunking(text: str) -> None:
    for _ in chunk_by_headings(Document(id="page", title="Page", text=text), max_words=140):
        pass


def extracting(text: str) -> None:
    extractive_answer("what is one", [retrieved(f"{text} The end of it all.")], FakeReranker(), "bench", 3)


def quoting(text: str) -> None:
    """The guard, of quotes from a foreign page: its tail, half of it, and one that it does not hold."""
    found = retrieved(text)
    passage = found.hits[0].passage
    quotes = (text[-12:], text[: len(text) // 2], f"{text[: len(text) // 2]} not so")
    citations = [Citation(passage_id=passage.id, document_id="page", quote=quote) for quote in quotes]
    guard("So it is [1]. And so [2]. And [3].", citations, [found])


def answering(text: str) -> None:
    """The guard, of a foreign answer."""
    found = retrieved("Something is said here.")
    guard(without_foreign(text, [found])[0], (), [found], "drop")


def redacting(text: str) -> None:
    redacted(text)
    redacted(f"http://a:b@c/?{text}")


def filtering(text: str) -> None:
    for kind in ("keyword", "text"):
        for written in (text, f"field{text}", f"field={text}", f"field=a{text}b"):
            with suppress(SettingsError):
                parse_condition(written, {"field": kind})


READERS = {f.__name__: f for f in (chunking, extracting, quoting, answering, filtering, redacting)}


def milliseconds(reader: Callable[[str], None], text: str) -> float:
    """The least of several: each text is a new one, so that nothing is remembered of it."""
    taken = []
    for number in range(ROUNDS):
        fresh = f"{number}{text}"
        began = time.process_time()
        reader(fresh)
        taken.append((time.process_time() - began) * 1000)
        if taken[-1] > 1000:
            break
    return min(taken)


def growth(times: Sequence[float]) -> float:
    """By what factor time grows per doubling, from the first length to the last; 0 below the floor."""
    if times[-1] < FLOOR_MS:
        return 0.0
    return float((times[-1] / max(times[0], FLOOR_MS / 4)) ** 0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--length", type=int, default=LENGTH)
    given = parser.parse_args()
    lengths = [given.length * times for times in (1, 2, 4)]
    failed = 0
    print(f"| shape | reader | ms at {' | '.join(f'{n:,}' for n in lengths)} | growth | |")
    print("|---|---|---|---|---|---|---|")
    for name, unit in UNITS.items():
        for read in given.only:
            times = [milliseconds(READERS[read], shape(unit, length)) for length in lengths]
            grown = growth(times)
            failed += grown > MOST_GROWTH
            note = "faster than its text" if grown > MOST_GROWTH else ""
            print(f"| {name} | {read} | {' | '.join(f'{t:.1f}' for t in times)} | {grown:.1f} | {note} |", flush=True)
    print(f"\n{len(UNITS)} shapes, {len(given.only)} readers; {failed} grow faster than their text")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

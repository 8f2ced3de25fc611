"""What of a passage makes a quote: sentences of prose, items of lists, rows of tables, lines of code."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from overfetch.markup import has_marks, unmarked
from overfetch.sentences import sentences_of
from overfetch.verbatim import WITHOUT_SPACES, count_words

MOST_WORDS = 60
LEAST_WORDS = {"prose": 5, "line": 3, "code": 3}
LONGEST_WORD, MOST_LONGER = 30, 0.1  # letters, and the share of words that have more: addresses and hashes say nothing

FENCES = ("```", "~~~")
INDENTS = ("    ", "\t")
DIRECTIVE = "::: "  # of mkdocstrings: options are indented below
ADMONITION = r"(?:!!!|\?\?\?\+?|===) "
# Headings, quotations, comments and directives say nothing alone.
PASSED_OVER = re.compile(rf"[#>]|<!--|:::|\.\. |{ADMONITION}")
ITEM = re.compile(r"(?:[-*+•]|\d{1,3}[.)])\s{1,4}(?=\S)")
NESTING = re.compile(rf"{ADMONITION}|{ITEM.pattern}")  # what is indented below is no code
RULE = re.compile(r"[|:=+\s-]+")  # between the head of a table and its rows

IMPORT = re.compile(r"(?:from|import|using|require|#include|package)\b")

WORD = re.compile(r"[(\"'“]?[^\W\d_]+(?:['’-][^\W\d_]+)?[.,;:!?)\"'”]*")
LEAST_LETTERS = 0.6  # of the words of a line that is no code

Kind = Literal["prose", "line", "code"]


class Piece(NamedTuple):
    """Words that stand alone, without the marks around them; a `line` is an item or a row."""

    text: str
    kind: Kind


class _Line(NamedTuple):
    """A line by what it does to the block before it: begins a new one, goes on with it, ends it, or takes it away."""

    text: str = ""
    does: Literal["begins", "goes on", "ends", "takes away"] = "ends"
    kind: Kind = "prose"


END, RULED = _Line(), _Line(does="takes away")


def pieces_of(text: str) -> Iterator[Piece]:
    """Each piece in its order, in time that grows with the text.

    >>> [piece.text for piece in pieces_of("Two ways lead:\\n- `a`: the first one\\n- the second, no shorter")]
    ['`a`: the first one', 'the second, no shorter']
    >>> list(pieces_of("```sh\\nuv cache prune --ci\\n```"))
    [Piece(text='uv cache prune --ci', kind='code')]
    """
    for block, kind in _blocks(text):
        for part in _lines_of_code(block) if kind == "code" else _parts(unmarked(block, code=False), kind):
            if LEAST_WORDS[kind] <= count_words(part) <= MOST_WORDS and _stands_alone(part, kind):
                yield Piece(part, kind)


def _stands_alone(part: str, kind: Kind) -> bool:
    """Whether nothing must follow, no half of a mark is left, and it is made of words."""
    if kind == "code":
        return "`" not in part and not IMPORT.match(part)
    longer = sum(len(word) > LONGEST_WORD for word in part.split())
    return not (part.rstrip().endswith(":") or has_marks(part) or longer > MOST_LONGER * count_words(part))


def _lines_of_code(block: str) -> list[str]:
    """A line with those that are indented below it, else each."""
    return [block] if count_words(block) <= MOST_WORDS else block.split("\n")


def _parts(block: str, kind: Kind) -> Iterator[str]:
    """An item or a row whole, else sentences; phrases of a long one in a script such as Thai, which has spaces where
    others have full stops."""
    if kind == "line" and count_words(block) <= MOST_WORDS:
        yield block
        return
    for sentence in sentences_of(block):
        if count_words(sentence) > MOST_WORDS and WITHOUT_SPACES.search(sentence):
            yield from sentence.split()
        else:
            yield sentence


def _blocks(text: str) -> Iterator[Piece]:
    """Paragraphs, items and rows with the lines that they go on over, and each line of code."""
    block: list[str] = []
    kind: Kind = "prose"
    for line in (*_lines(text), END):
        if block and line.does != "goes on":
            if line.does != "takes away":
                yield Piece("\n".join(block), kind)
            block = []
        if line.text:
            kind = kind if block else line.kind
            block.append(line.text)


def _lines(text: str) -> Iterator[_Line]:
    fence, nested, directed, depth, last = "", False, False, 0, END
    for line in text.splitlines():
        said, indent = line.strip(), len(line) - len(line.lstrip())
        if fence:
            fence = "" if said.startswith(fence) else fence
            below = last.kind == "code" and indent > depth
            last = _Line(said, "goes on" if below else "begins", "code") if fence and said else END
            depth = depth if below else indent
        elif said.startswith(FENCES) and not said[3:].endswith(said[:3]):
            fence, last = said[:3], END
        else:
            is_indented = line.startswith(INDENTS)
            nested = NESTING.match(said) is not None or (nested and (is_indented or not said))
            directed = said.startswith(DIRECTIVE) or (directed and (is_indented or not said))
            last = END if directed else _line(said, last, is_code=is_indented and not nested)
        yield last


def _line(said: str, last: _Line, *, is_code: bool) -> _Line:
    """A line outside of fences, after the `last` one."""
    if not said or PASSED_OVER.match(said) or said.startswith(FENCES):
        return END
    if said.startswith("|"):
        return RULED if RULE.fullmatch(said) else _Line(said.strip("| \t"), "begins", "line")
    if item := ITEM.match(said):
        return _Line(said[item.end() :], "begins", "line")
    if last.text and last.kind != "code":
        return _Line(said, "goes on", last.kind)
    return _Line(said, "begins", "code" if is_code and not _reads_as_prose(said) else "prose")


def _reads_as_prose(said: str) -> bool:
    """Whether it is made of words: notes are indented, too."""
    words = said.split()
    return sum(WORD.fullmatch(word) is not None for word in words) > max(3, LEAST_LETTERS * len(words))

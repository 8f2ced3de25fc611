"""Citation markers in an answer, however a language model writes them, and the code in which nothing is a marker.

A marker is numbers in square brackets of any width: `[1]`, `[ 1, 2 ]`, `[1-3]`, `[^1]`, `[passage 2]`, `【1†source】`.
In round ones it is a marker where it ends something: after a word and a space, before a stop, another marker or the
end of the line. `(1) this, (2) that` is a list, `f(1)` a call.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

FILLER = "\ufffc"
MOST_IN_A_RANGE = 100
_NUMBERS = (
    r"\s{0,4}(?:\^|#|№|(?i:passages?|sources?|quotes?|citations?|references?|refs?|notes?)\b\.?\s{0,2}#?)?\s{0,2}\d{1,9}"
    r"(?:\s{0,4}(?:[,;、，&–—-]|and|to)\s{0,4}[\^#]?\d{1,9}){0,50}(?:†[^\]】\n]{0,100})?\s{0,4}"
)
_SQUARE = rf"(?:\\?[\[［【〔]|&#91;|&lsqb;|&lbrack;){_NUMBERS}(?:\\?[\]］】〕]|&#93;|&rsqb;|&rbrack;)"
_ROUND = (
    r"(?:(?<=[^\s(] )\(|(?<=\d\))\(|（)\s?\d{1,2}(?:\s?[,–-]\s?\d{1,2}){0,20}\s?[)）]"
    r"(?=[ \t]*(?:$|[.,;:!?。！？、，…]|[\[［【(（]\s?\^?\d{1,9}\s?[\]］】)）]))"
)
# One or more in a row.
MARKERS = re.compile(rf"(?=[\\\[［【〔&(（])(?:(?:{_SQUARE}|{_ROUND}) ?){{0,50}}(?:{_SQUARE}|{_ROUND})", re.MULTILINE)
NUMBER_OR_RANGE = re.compile(r"(\d+)(?:\s*[–—-]\s*(\d+))?")
NEW_LINE = re.compile(r"\r\n?|\n")


def renumber_markers(text: str, numbers: Mapping[int, Sequence[int]], otherwise: str) -> str:
    """Markers as `[n]` with the numbers that each of theirs stands for; `otherwise` for those that stand for none."""
    return replace_outside_code(MARKERS, renumbering(numbers, otherwise), text)[0]


def renumbering(numbers: Mapping[int, Sequence[int]], otherwise: str) -> Callable[[re.Match[str]], str]:
    """What stands in place of `MARKERS`."""

    def renumbered(found: re.Match[str]) -> str:
        kept = dict.fromkeys(n for old in _numbers(found[0]) for n in numbers.get(old, ()))
        return "".join(f"[{n}]" for n in kept) or otherwise

    return renumbered


def has_markers(text: str) -> bool:
    """Whether a citation marker stands in the text, outside of code."""
    return MARKERS.search(mask_code(text)) is not None


def _numbers(markers: str) -> Iterator[int]:
    for first, last in NUMBER_OR_RANGE.findall(re.sub(r"†[^\]】\n]*|&#9[13];", " ", markers)):
        start, end = int(first), int(last or first)
        yield from range(start, end + 1) if end - start < MOST_IN_A_RANGE else (start, end)


def replace_outside_code(
    pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str], text: str
) -> tuple[str, str]:
    """As `pattern.sub`, of a text whose code is not looked at; also the result with its code masked."""
    masked = mask_code(text)
    pieces: list[str] = []
    prose: list[str] = []
    start = 0
    for found in pattern.finditer(masked):
        shown = replacement(found)
        pieces += [text[start : found.start()], shown]
        prose += [masked[start : found.start()], shown]
        start = found.end()
    return "".join([*pieces, text[start:]]), "".join([*prose, masked[start:]])


def mask_code(text: str) -> str:
    """The text with a filler in place of every character of code: as long as it was."""
    if "`" not in text and "~~~" not in text:
        return text
    pieces: list[str] = []
    end = 0
    for first, last in sorted(_code(text)):
        pieces += [text[end:first], FILLER * (last - max(first, end))]
        end = last
    return "".join([*pieces, text[end:]])


def _code(text: str) -> Iterator[tuple[int, int]]:
    """Where closed fences and code spans stand, as Markdown's parser has them."""
    starts = [0, *(line.end() for line in NEW_LINE.finditer(text)), len(text) + 1]
    lines = [text[start : end - 1].rstrip("\r\n") for start, end in pairwise(starts)]
    for token in _parser().parse(text):
        if token.map is None:
            continue
        if token.type == "fence" and _is_closed(token, lines):
            yield starts[token.map[0]], starts[token.map[1] - 1] + len(lines[token.map[1] - 1])
        elif token.type == "inline":
            yield from _spans(token, starts, lines)


def _is_closed(fence: "Token", lines: Sequence[str]) -> bool:
    """One that is not runs to the end of the answer: too much to leave unread."""
    assert fence.map is not None
    last = lines[fence.map[1] - 1].strip(" \t>")
    return fence.map[1] - fence.map[0] > 1 and last == fence.markup[0] * len(last) >= fence.markup


def _spans(token: "Token", starts: Sequence[int], lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Code spans of a paragraph. Two stray backticks make none: around words with spaces, over two lines, as
    apostrophes."""
    assert token.map is not None
    content = token.content
    own = [0, *(place + 1 for place, character in enumerate(content) if character == "\n")]
    where: dict[int, int] = {}
    for child in token.children or ():
        if child.type != "code_inline":
            continue
        first, last = child.meta["span"]
        inside = content[first + len(child.markup) : last - len(child.markup)]
        padded = len(child.markup) == 1 and inside != inside.strip()
        if padded or "\n" in inside or (content[first - 1 : first] + content[last : last + 1]).isalnum():
            continue
        number = bisect_right(own, first) - 1
        if number not in where:
            where[number] = _place(content, own, number, starts, lines, token.map[0] + number)
        if where[number] >= 0:
            yield where[number] + first - own[number], where[number] + last - own[number]


def _place(
    content: str, own: Sequence[int], number: int, starts: Sequence[int], lines: Sequence[str], line: int
) -> int:
    """Where a line of a paragraph stands in the text: behind what marks a quotation or a list; negative if nowhere."""
    piece = content[own[number] : own[number + 1] - 1 if number + 1 < len(own) else len(content)]
    found = lines[line].rfind(piece.strip()) if line < len(lines) else -1
    return starts[line] + found - (len(piece) - len(piece.lstrip())) if found >= 0 else -len(content) - 1


@lru_cache(maxsize=1)
def _parser() -> "MarkdownIt":
    """Only what decides where code stands; each span remembers its place."""
    from markdown_it import MarkdownIt
    from markdown_it.rules_inline import backtick

    def placed(state: Any, silent: bool) -> bool:
        start, before = state.pos, len(state.tokens)
        found = backtick(state, silent)
        if found and len(state.tokens) > before and state.tokens[-1].type == "code_inline":
            state.tokens[-1].meta = {"span": (start, state.pos)}
        return found

    parser = MarkdownIt("zero").enable(["fence", "blockquote", "list", "backticks", "escape"])
    parser.inline.ruler.at("backticks", placed)
    return parser

"""Texts cut in pieces of bounded size, between paragraphs, then lines, sentences and words, then within words."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import NamedTuple

from overfetch.headings import block_parser
from overfetch.terms import UNSPACED

LONG_WORD = 24  # letters; nearly every word of a language with spaces is shorter
LETTERS_PER_WORD = 8  # of a longer one: code, addresses, base64
UNSPACED_PER_WORD = 2  # characters of a script without spaces

Size = Callable[[str], int]
"""How large a text is."""

LONG = re.compile(rf"\S{{{LONG_WORD + 1},}}")
# Where a text may be cut, from the best place to the worst; what stands before a cut keeps its white space.
CUTS = (
    re.compile(r"(?<=\n\n)(?!\n)"),
    re.compile(r"(?<=\n)"),
    re.compile(r"(?<=[.!?] )(?! )|(?<=[。！？｡।။។༎])(?![。！？」』）\s])"),
    re.compile(r"(?<=\s)(?=\S)|(?<=[、，；：])"),
)


class Block(NamedTuple):
    """Lines that belong together: each piece of them begins with `head` and ends with `tail`."""

    head: str
    body: str
    tail: str

    @property
    def whole(self) -> str:
        return f"{self.head}{self.body}{self.tail}"


def count_words(text: str) -> int:
    """What stands between white space, but long words and scripts without spaces count by their characters.

    >>> count_words("one two"), count_words("检索系统"), count_words("x" * 80)
    (2, 2, 10)
    """
    words = len(text.split())
    unspaced = 0 if text.isascii() else sum(-(-len(run) // UNSPACED_PER_WORD) for run in UNSPACED.findall(text))
    if unspaced:
        text = UNSPACED.sub(" ", text)
        words = len(text.split()) + unspaced
    return words + sum(-(-len(word) // LETTERS_PER_WORD) - 1 for word in LONG.findall(text))


def split_by_words(text: str, max_words: int, size: Size = count_words) -> list[str]:
    """Pieces of at most `max_words` words, or of what else `size` counts, such as the tokens of a model.

    Cut between paragraphs, then lines, then sentences, then words. Every piece of a table has its header, and every
    piece of fenced code its fences.
    A word is what stands between white space; of scripts without spaces two characters count as one, of words of more
    than 24 letters eight.

    >>> split_by_words("one two\\n\\nthree four\\n\\nfive", 4)
    ['one two\\n\\nthree four', 'five']
    """
    if size(text) <= max_words:
        return list(filter(None, [trimmed(text)]))
    sized = _Sized(max_words, cache(size))  # most are asked for more than once
    pieces = sized.of_blocks(re.sub(r"\r\n?", "\n", text))
    return list(filter(None, map(trimmed, sized.packed(pieces))))


def trimmed(text: str) -> str:
    """Without empty lines around it; the indentation of its first line stays, since it is that of a list or code."""
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", text).rstrip() if text[:1].isspace() else text.rstrip()


class _Sized(NamedTuple):
    """How large a piece may be."""

    limit: int
    size: Size

    def packed(self, pieces: Iterable[str]) -> Iterator[str]:
        """Neighbours together as long as they fit."""
        held, held_size = "", 0
        for piece in pieces:
            size = self.size(piece)
            if held and held_size + size > self.limit:
                yield held
                held, held_size = "", 0
            held, held_size = held + piece, held_size + size
        yield held

    def of_blocks(self, text: str) -> Iterator[str]:
        for block in _blocks(text):
            room = self._replace(limit=self.limit - self.size(block.head) - self.size(block.tail))
            if self.size(block.whole) <= self.limit:
                yield block.whole
            elif block.head and room.limit >= max(1, self.limit // 3):
                for piece in room.packed(room.cut(block.body, CUTS[1:])):
                    yield f"{block.head}{piece.rstrip()}\n{block.tail}"
            else:
                yield from self.cut(block.whole, CUTS)

    def cut(self, text: str, cuts: tuple[re.Pattern[str], ...]) -> Iterator[str]:
        """Pieces that fit, joined at once where they came from one cut, so that a rest is not left alone."""
        if self.size(text) <= self.limit:
            yield text
        elif cuts:
            for piece in cuts[0].split(text):
                yield from self.packed(self.cut(piece, cuts[1:]))
        else:
            yield from self.slices(text)

    def slices(self, word: str) -> Iterator[str]:
        """Of a word that is too long alone; a mark stays with its letter."""
        start, length = 0, self.limit * (UNSPACED_PER_WORD if UNSPACED.search(word) else LETTERS_PER_WORD)
        while start < len(word):
            end = start + length
            while end - start > 1 and self.size(word[start:end]) > self.limit:
                end = (start + end) // 2
            first = start + (end - start) // 2
            while first < end < len(word) and unicodedata.category(word[end])[0] == "M":
                end -= 1
            yield word[start:end]
            start = end


def _blocks(text: str) -> Iterator[Block]:
    """Fenced code and tables, and between them paragraphs."""
    lines = CUTS[1].split(text)
    done = 0
    for token in block_parser(tables=True).parse(text):
        if token.map and token.map[0] >= done and (framed := FRAMES.get(token.type)):
            first, after = token.map
            yield from _paragraphs(lines[done:first])
            yield framed(lines[first:after], token.markup)
            done = after
    yield from _paragraphs(lines[done:])


def _paragraphs(lines: list[str]) -> Iterator[Block]:
    return (Block("", paragraph, "") for paragraph in CUTS[0].split("".join(lines)))


def _fence(lines: list[str], fence: str) -> Block:
    """One that is never closed ends with the text."""
    closed = len(lines) > 1 and lines[-1].strip().lstrip("> \t").startswith(fence)
    indent = lines[0][: lines[0].find(fence)]
    tail = lines[-1] if closed else f"{indent if indent.isspace() else ''}{fence}\n"
    body = "".join(lines[1:-1] if closed else lines[1:])
    return Block(lines[0], body if body.endswith("\n") else f"{body}\n", tail)


def _table(lines: list[str], _: str) -> Block:
    return Block("".join(lines[:2]), "".join(lines[2:]), "")


FRAMES: dict[str, Callable[[list[str], str], Block]] = {"fence": _fence, "table_open": _table}

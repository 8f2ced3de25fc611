"""Texts to token ids, with every cut counted.

A fast tokenizer whose truncation settings change between calls is not safe to share between threads
(silently returns sequences cut at another thread's length), so truncation is switched off once and the
cutting is done here.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer

OVERLAP = 64  # tokens that neighbouring windows share: two or three sentences
SPARE = 4  # a window that starts inside a word may have more tokens than the passage had there


class Tokens(NamedTuple):
    """One model input; `cut` counts the tokens that did not fit."""

    ids: list[int]
    type_ids: list[int]
    cut: int


class Reading(NamedTuple):
    """A passage, by its place, or a window of it: as text, and as the sequence that it makes with the query."""

    place: int
    text: str
    tokens: Tokens


class TextTokenizer:
    """One model's tokenizer with its limit. Safe to share between threads."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.max_tokens = max_tokens

    def text(self, text: str) -> Tokens:
        return self._fit(self._tokenizer.encode(text))

    def pair(self, query: str, passage: str) -> Tokens:
        """Query and passage in one sequence; the passage is cut, and a query only beyond half the limit."""
        return next(self.pairs(query, [passage]))

    def pairs(self, query: str, passages: Iterable[str]) -> Iterator[Tokens]:
        """`pair` with each of the passages, read when asked for."""
        shortened, cut = self.shorten_query(query)
        for passage in passages:
            tokens = self._fit(self._tokenizer.encode(shortened, passage))
            yield tokens._replace(cut=tokens.cut + cut)

    def readings(self, query: str, passages: Sequence[str], windows: bool) -> Iterator[Reading]:
        """Each passage as `pair` reads it, or with `windows` in several pieces where that would cut it."""
        for place, (passage, tokens) in enumerate(zip(passages, self.pairs(query, passages), strict=True)):
            if windows and tokens.cut:
                texts = self.split(query, passage)
                pieces = zip(texts, self.pairs(query, texts), strict=True)
                yield from (Reading(place, text, piece) for text, piece in pieces)
            else:
                yield Reading(place, passage, tokens)

    def split(self, query: str, passage: str) -> list[str]:
        """The passage whole where it fits beside the query, else overlapping pieces that do, evenly spread."""
        encoding = self._tokenizer.encode(passage, add_special_tokens=False)
        special = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        asked = len(self._tokenizer.encode(self.shorten_query(query)[0], add_special_tokens=False).ids)
        total, room = len(encoding.ids), self.max_tokens - special - asked
        if total <= room:
            return [passage]
        room = max(1, room - SPARE)
        overlap = min(OVERLAP, room // 4)
        last = math.ceil((total - overlap) / (room - overlap)) - 1
        starts = [round(number * (total - room) / last) for number in range(last + 1)]
        return [passage[encoding.offsets[s][0] : encoding.offsets[s + room - 1][1]] for s in starts]

    def shorten_query(self, query: str) -> tuple[str, int]:
        """At most half the limit, so that a passage always has room; and how many tokens that cut."""
        encoding = self._tokenizer.encode(query, add_special_tokens=False)
        limit = self.max_tokens // 2
        cut = max(0, len(encoding.ids) - limit)
        return (query[: encoding.offsets[limit - 1][1]] if cut else query), cut

    def _fit(self, encoding: Encoding) -> Tokens:
        ids, type_ids = encoding.ids, encoding.type_ids
        cut = max(0, len(ids) - self.max_tokens)
        if cut:
            # The last token is the closing separator: it stays.
            ids = [*ids[: self.max_tokens - 1], ids[-1]]
            type_ids = [*type_ids[: self.max_tokens - 1], type_ids[-1]]
        return Tokens(ids, type_ids, cut)

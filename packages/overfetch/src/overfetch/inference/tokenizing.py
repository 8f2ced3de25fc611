"""Texts to token ids, with every cut counted.

A fast tokenizer whose truncation settings change between calls is not safe to share between threads
(silently returns sequences cut at another thread's length), so truncation is switched off once and the
cutting is done here.
"""

import math
from itertools import pairwise
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


class Asked(NamedTuple):
    """A query that leaves room for a passage: its tokens, and how many more it had."""

    text: str
    tokens: int
    cut: int


class Span(NamedTuple):
    """Part of a passage, by its characters; `tokens` of it stand before the next part."""

    start: int
    end: int
    tokens: int


class TextTokenizer:
    """One model's tokenizer with its limit. Safe to share between threads."""

    def __init__(self, path: Path, max_tokens: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._special = self._tokenizer.num_special_tokens_to_add(is_pair=True)
        self.max_tokens = max_tokens

    def text(self, text: str) -> Tokens:
        return self._fit(self._tokenizer.encode(text), self.max_tokens)

    def pair(self, query: Asked | str, passage: str) -> Tokens:
        """Query and passage in one sequence; the passage is cut, and a query only beyond half the limit."""
        asked = self.shorten_query(query) if isinstance(query, str) else query
        return self.pair_and_spans(asked, passage, self.max_tokens, windows=False)[0]

    def pair_and_spans(self, asked: Asked, passage: str, most: int, windows: bool) -> tuple[Tokens, list[Span]]:
        """`pair` of at most so many tokens; with `windows`, where that would cut the passage, the parts that fit.

        They overlap, and are evenly spread.
        """
        encoding = self._tokenizer.encode(asked.text, passage)
        tokens = self._fit(encoding, most)
        spans = self._spans(encoding, asked) if windows and tokens.cut else []
        return tokens._replace(cut=tokens.cut + asked.cut), spans

    def shorten_query(self, query: str) -> Asked:
        """At most half the limit, so that a passage always has room."""
        encoding = self._tokenizer.encode(query, add_special_tokens=False)
        limit = self.max_tokens // 2
        cut = max(0, len(encoding.ids) - limit)
        return Asked(query[: encoding.offsets[limit - 1][1]] if cut else query, len(encoding.ids) - cut, cut)

    def _spans(self, encoding: Encoding, asked: Asked) -> list[Span]:
        whose = encoding.sequence_ids
        offsets = [own for own, sequence in zip(encoding.offsets, whose, strict=True) if sequence == 1]
        total, room = len(offsets), max(1, self.max_tokens - self._special - asked.tokens - SPARE)
        overlap = min(OVERLAP, room // 4)
        last = math.ceil((total - overlap) / (room - overlap)) - 1
        starts = [round(number * (total - room) / last) for number in range(last + 1)]
        return [
            Span(offsets[start][0], offsets[start + room - 1][1], after - start)
            for start, after in pairwise([*starts, total])
        ]

    @staticmethod
    def _fit(encoding: Encoding, most: int) -> Tokens:
        ids, type_ids = encoding.ids, encoding.type_ids
        cut = max(0, len(ids) - most)
        if cut:
            # The last token is the closing separator: it stays.
            ids = [*ids[: most - 1], ids[-1]]
            type_ids = [*type_ids[: most - 1], type_ids[-1]]
        return Tokens(ids, type_ids, cut)

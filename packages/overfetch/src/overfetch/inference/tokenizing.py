"""Texts to token ids, with every cut counted.

A fast tokenizer whose truncation settings change between calls is not safe to share between threads
(silently returns sequences cut at another thread's length), so truncation is switched off once and the
cutting is done here.
"""

from pathlib import Path
from typing import NamedTuple

from tokenizers import Encoding, Tokenizer


class Tokens(NamedTuple):
    """One model input; `cut` counts the tokens that did not fit."""

    ids: list[int]
    type_ids: list[int]
    cut: int


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
        shortened, cut = self.shorten_query(query)
        tokens = self._fit(self._tokenizer.encode(shortened, passage))
        return tokens._replace(cut=tokens.cut + cut)

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

"""What a cross-encoder reads of passages beyond its limit: windows, and of many the likeliest, within a budget.

The first windows of all passages come first; then those that words put highest (BM25, Robertson & Zaragoza 2009, over
the windows of the list), until the budget of tokens is spent. So a query has a bound that no load moves.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from overfetch.inference.tokenizing import TextTokenizer, Tokens

SHORTEST = 32  # tokens that are read of a passage, however many there are
K1 = 1.2
WORD = re.compile(r"\w+")


class Reading(NamedTuple):
    """A passage, by its place, or a window of it: as text, and as the sequence that it makes with the query."""

    place: int
    text: str
    tokens: Tokens


class Window(NamedTuple):
    """A part of a passage that is read where the budget allows it; `tokens` of it stand before the next."""

    place: int
    text: str
    tokens: int


def longest_first(most: int, budget: int | None, passages: int) -> int:
    """Tokens of a first window, query and all: at most a model's `most`, or the share of each of so many passages."""
    return most if budget is None else min(most, max(SHORTEST, budget // max(1, passages)))


class Plan:
    """The readings of a list beside a query, and once all were taken, what they leave out."""

    def __init__(
        self, tokenizer: TextTokenizer, query: str, passages: Sequence[str], *, windows: bool, budget: int | None
    ) -> None:
        self.asked = tokenizer.shorten_query(query)
        self._tokenizer = tokenizer
        self._passages = passages
        self._budget = math.inf if budget is None else budget
        self._most = longest_first(tokenizer.max_tokens, budget, len(passages))
        self._windows = windows and self._most == tokenizer.max_tokens
        self._in_windows = set[int]()
        self.unread = Counter[int]()  # by place, tokens in windows that are not read

    def readings(self, places: Iterable[int]) -> Iterator[Reading]:
        """First windows in the order of the places, then others; one at a time, while those before are read already."""
        spent, others = 0, list[Window]()
        for place in places:
            first, more = self._parts(place)
            spent += len(first.tokens.ids)
            yield first
            others += more
        likeliest = self._likeliest(others, spent)
        for number, window in enumerate(likeliest):
            tokens = self._tokenizer.pair(self.asked, window.text)
            spent += len(tokens.ids)
            if spent > self._budget:
                for left in likeliest[number:]:
                    self.unread[left.place] += left.tokens
                return
            yield Reading(window.place, window.text, tokens)

    def hangs_on_others(self, place: int) -> bool:
        """Whether the others of the list, and not their number alone, decide how much of the passage is read."""
        return self._budget < math.inf and place in self._in_windows

    def _parts(self, place: int) -> tuple[Reading, list[Window]]:
        """The passage whole, or its first window and the others."""
        passage = self._passages[place]
        tokens, spans = self._tokenizer.pair_and_spans(self.asked, passage, self._most, windows=self._windows)
        if not spans:
            return Reading(place, passage, tokens), []
        self._in_windows.add(place)
        first, *others = (Window(place, passage[span.start : span.end], span.tokens) for span in spans)
        return Reading(place, first.text, self._tokenizer.pair(self.asked, first.text)), others

    def _likeliest(self, others: Sequence[Window], spent: int) -> Sequence[Window]:
        room = (self._budget - spent) / self._tokenizer.max_tokens
        return others if room >= len(others) else _ranked(self.asked.text, others)


def _ranked(query: str, windows: Sequence[Window]) -> list[Window]:
    """Best first, by how rare the query's words are and how often they stand in a window, then by place."""
    counted = [Counter(WORD.findall(window.text.lower())) for window in windows]
    asked = set(WORD.findall(query.lower()))
    weights = {word: math.log(1 + len(windows) / (0.5 + sum(word in own for own in counted))) for word in asked}

    def merit(number: int) -> float:
        own = counted[number]
        return sum(weight * own[word] * (K1 + 1) / (own[word] + K1) for word, weight in weights.items())

    order = sorted(range(len(windows)), key=lambda number: (-merit(number), windows[number].place, number))
    return [windows[number] for number in order]

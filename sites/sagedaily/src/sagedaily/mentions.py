"""What a text names, and where: by the names of the vocabulary, and by rule what is composed of a number or a rank."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from sagedaily.vocabulary import KNOWN, LONGEST, NUMBER, Meaning, Word, names, number_at, numbers, trumps, words_of

OF_CHARTS = ("planet", "sign", "house", "aspect", "nakshatra")

OF = {("of",), ("of", "the"), ("de",), ("d",), ("des",), ("di",), ("der",), ("delle",), ()}
MARKERS = {"trump", "key", "arcanum", "arcana", "card"}
NUMBERED = {"no", "nr", "number", "numbered"}
HOUSES = 12
NO_HOUSE = {"century", "degree", "degrees", "decan", "day", "month", "year", "harmonic", "place", "position", "card"}


class Mention(NamedTuple):
    """Words `start` to `end` of a text, and all that they may mean."""

    start: int
    end: int
    meanings: tuple[Meaning, ...]


def in_full(question: str) -> str:
    """What is looked at of a question, with the names that it shortens.

    >>> in_full("QoC, Merc in Sag"), in_full("Cap in hand")
    ('queen of cups, Mercury in Sagittarius', 'Cap in hand')
    """
    cards = _in_full(question[:LONGEST], "shortened.cards")
    charts = _in_full(cards, "shortened.charts")
    places = [m for m in mentions_in(words_of(charts)) if any(e.family in OF_CHARTS for e in m.meanings)]
    return charts if len(places) > 1 else cards


def _in_full(text: str, path: str) -> str:
    for pattern, full in KNOWN.table(path):
        text = re.sub(rf"\b(?:{pattern})\b", full, text)
    return text


def mentions_in(words: Sequence[Word]) -> Iterator[Mention]:
    """What is named, in its order, the longest name first. What is misspelt may mean something else.

    >>> from sagedaily.vocabulary import words_of
    >>> named = mentions_in(words_of("Knave of Coins, then Mars in the 7th house squares ☽"))
    >>> [mention.meanings[0].subject for mention in named]
    ['card:Page of Pentacles', 'planet:Mars', 'house:7', 'aspect:Square', 'planet:Moon']
    """
    place = 0
    while place < len(words):
        if words[place].folded not in _beginnings() and not words[place].folded[0].isdecimal():
            place += 1
            continue
        end, meanings = max(_read(words, place), key=lambda found: found[0], default=(place + 1, ()))
        if any(word.guessed for word in words[place:end]):
            meanings = tuple(meaning._replace(plain=True) for meaning in meanings)
        if meanings:
            yield Mention(place, end, meanings)
        place = end


@cache
def _beginnings() -> frozenset[str]:
    """The words with which a name may begin: most do not, and are passed over."""
    begun = [*names(), *numbers(), *KNOWN.words("context.not")]
    return frozenset({name[0] for name in begun} | KNOWN.meanings("courts").keys() | MARKERS | {"house", "number"})


def _read(words: Sequence[Word], place: int) -> Iterator[tuple[int, tuple[Meaning, ...]]]:
    """All readings of the words from there on: where each ends, and what it means (nothing, where it is no name)."""
    yield from _by_name(words, place)
    for reader in (_minor, _trump, _house):
        if found := reader(words, place):
            yield found[0], (found[1],)


def _by_name(words: Sequence[Word], place: int) -> Iterator[tuple[int, tuple[Meaning, ...]]]:
    for end in range(min(place + 4, len(words)), place, -1):
        key = tuple(word.folded for word in words[place:end])
        if key in KNOWN.words("context.not"):
            yield end, ()
        any_number = tuple(NUMBER.folded if part.isdecimal() else part for part in key)
        if found := names().get(key) or names().get(any_number):
            yield end, found
            return


def _minor(words: Sequence[Word], place: int) -> tuple[int, Meaning] | None:
    """`ten of cups`, `X Cups`, `knave of coins`, `dix d'épée`; also what no deck has, such as `fifteen of cups`."""
    rank, after = _rank(words, place)
    if rank is None:
        return None
    for gap in range(3):
        between = tuple(word.folded for word in words[after : after + gap])
        suit = KNOWN.meanings("suits").get(words[after + gap].folded) if after + gap < len(words) else None
        if suit and between in OF and (gap or words[place].written != "I"):
            return after + gap + 1, Meaning(f"card:{rank} of {suit}", plain=not gap)
    return None


def _rank(words: Sequence[Word], place: int) -> tuple[str | None, int]:
    """The rank, and where it ends; `Fool` of cups is one that no deck has."""
    if court := KNOWN.meanings("courts").get(words[place].folded):
        return court, place + 1
    number, after = number_at(words, place)
    if number is not None:
        ranks = KNOWN.table("numbers.words")
        return "Ace" if number == 1 else ranks[number].title() if number < len(ranks) else str(number), after
    between, suit = ([word.folded for word in words[place + n : place + n + 1]] for n in (1, 2))
    is_named = between == ["of"] and suit and suit[0].title() in KNOWN.table("suits")
    trump = next((m.name for m in names().get((words[place].folded,), ()) if m.family == "card"), None)
    return (trump if is_named else None), place + 1


def _trump(words: Sequence[Word], place: int) -> tuple[int, Meaning] | None:
    """`trump fourteen`, `key 4`, `card numbered zero`, `the 13th card`; a Roman numeral that begins the text."""
    marker = words[place].folded
    after = place + 1
    numbered = after < len(words) and words[after].folded in NUMBERED
    if marker in MARKERS:
        number, end = number_at(words, after + numbered)
        is_said = number is not None and words[end - 1].written != "I"
        return (end, _trump_of(number, marker == "card" and not numbered)) if number is not None and is_said else None
    number, end = number_at(words, place + (marker == "number"))
    if number is None:
        return None
    if marker == "number":
        follows = {word.folded for word in words[end : end + 4]} & {"tarot", "arcana", "trumps", "majors", "deck"}
        return (end, _trump_of(number, plain=False)) if follows else None
    if end < len(words) and words[end].folded in ("trump", "arcanum", "card") and _is_ordinal(words[end - 1].folded):
        return end + 1, _trump_of(number, plain=words[end].folded == "card")
    is_roman = words[place].written in KNOWN.table("numbers.roman") and (
        len(words[place].written) > 1 or len(words) == 1
    )
    alone = len(words) == 1 and number <= 21
    return (end, _trump_of(number, plain=False)) if place == 0 and (is_roman or alone) else None


def _is_ordinal(word: str) -> bool:
    return word[0].isdecimal() != word.isdecimal() or word.endswith(("th", "first", "second", "third"))


def _trump_of(number: int, plain: bool) -> Meaning:
    return Meaning(f"card:{trumps()[number] if number < len(trumps()) else f'Trump {number}'}", plain)


def _house(words: Sequence[Word], place: int) -> tuple[int, Meaning] | None:
    """`seventh house`, `7th house`, `house 7`, `VII house`; after a planet `in the` also `7th` alone."""
    word = words[place].folded
    number, end = number_at(words, place + 1 if word == "house" else place)
    following = words[end].folded if end < len(words) else ""
    if number is None or number < 1 or (following != "house" and number > HOUSES):
        return None
    if word == "house" or following in ("house", "houses"):
        return end + (word != "house"), Meaning(f"house:{number}")
    alone = _is_ordinal(word) and following not in NO_HOUSE and _is_in_planets(words, place)
    return (end, Meaning(f"house:{number}", plain=True)) if alone else None


def _is_in_planets(words: Sequence[Word], place: int) -> bool:
    """After `Mars in`, `Mars in the`, `in Leo in the`, `rx in my`."""
    before = [word.folded for word in words[max(0, place - 3) : place]]
    if before and before[-1] != "in":
        before.pop()
    named = names().get(tuple(before[-2:-1]), ()) if before[-1:] == ["in"] else ()
    is_turned = tuple(before[-2:-1]) in KNOWN.words("orientations.retrograde")
    return is_turned or any(meaning.family in ("planet", "sign") for meaning in named)

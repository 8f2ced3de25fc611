"""Which subjects a text names: cards, planets, signs, houses, aspects, by the names that vocabulary.toml gives them."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

LONGEST = 2_000  # characters of a question or a passage that are looked at
WORD = re.compile(r"[^\W_]+|[\u2200-\u27bf]")
ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")
ROMAN = (*ROMAN, "XIII", "XIV", "XV", "XVI", "XVII", "XVIII", "XIX", "XX", "XXI", "XXII")
OF = {("of",), ("of", "the"), ("de",), ("d",), ("des",), ("di",), ("der",), ("delle",), ()}
NUMBERED = {"no", "nr", "number", "numbered"}
SHORTEST_MISSPELT = 5
HOUSES = 12
NO_HOUSE = {"century", "degree", "degrees", "decan", "day", "month", "year", "harmonic"}


def indian(subject: str) -> str:
    return f"indian {subject}"


class Meaning(NamedTuple):
    """What a name stands for, as `family:name`; a `plain` word has another meaning in other texts."""

    subject: str
    plain: bool = False
    indian: bool = False

    @property
    def sole(self) -> str:
        """How an entry that is about nothing else is found: one of the Indian tradition by itself."""
        return indian(self.subject) if self.indian else self.subject

    @property
    def family(self) -> str:
        return self.subject.partition(":")[0]

    @property
    def name(self) -> str:
        return self.subject.partition(":")[2]


class Mention(NamedTuple):
    """Words `start` to `end` of a text, and all that they may mean."""

    start: int
    end: int
    meanings: tuple[Meaning, ...]


class Word(NamedTuple):
    """A word as it is compared, and as it is written but for its accents; `guessed` where that is misspelt."""

    folded: str
    written: str
    guessed: bool = False


NUMBER = Word("#", "#")  # stands for any, in a name

Names = Mapping[tuple[str, ...], tuple[Meaning, ...]]


def words_of(text: str) -> list[Word]:
    """
    >>> [word.folded for word in words_of("Valet de Bâton, l'Étoile ☉")]
    ['valet', 'de', 'baton', 'l', 'etoile', '☉']
    """
    letters = unicodedata.normalize("NFKD", text[:LONGEST])
    bare = "".join(c for c in letters if not unicodedata.combining(c))
    return [Word(found.casefold(), found) for found in WORD.findall(bare)]


@cache
def vocabulary() -> Mapping[str, Any]:
    import tomllib

    with (Path(__file__).parent / "vocabulary.toml").open("rb") as file:
        return tomllib.load(file)


@cache
def phrases(*path: str) -> frozenset[tuple[str, ...]]:
    """A list of the vocabulary, in words as they are compared."""
    listed: Any = vocabulary()
    for step in path:
        listed = listed[step]
    return frozenset(_folded(name) for name in listed)


@cache
def trumps() -> tuple[str, ...]:
    return tuple(trump["name"] for trump in vocabulary()["trumps"])


@cache
def names() -> Names:
    """Every name of one or more words; what is composed (minor cards, numbers, houses) is read by rule."""
    table: dict[tuple[str, ...], tuple[Meaning, ...]] = {}
    for name, meaning in _listed():
        key = _folded(name)
        table[key] = (*table.get(key, ()), meaning)
    return table


def _listed() -> Iterator[tuple[str, Meaning]]:
    known = vocabulary()
    for trump in known["trumps"]:
        yield from ((name, Meaning(f"card:{trump['name']}")) for name in trump["names"])
        yield from ((name, Meaning(f"card:{trump['name']}", plain=True)) for name in trump["plain"])
    everyday = {*known["context"]["plain"]}
    for family, table in (("planet", "planets"), ("sign", "signs"), ("aspect", "aspects"), ("house", "houses")):
        is_plain = everyday.__contains__ if family == "aspect" else _is_one_word
        for name, called in known[table].items():
            yield from ((one, Meaning(f"{family}:{name}", is_plain(one))) for one in called)
        for name, called in known["sanskrit"].get(table, {}).items():
            yield from ((one, Meaning(f"{family}:{name}", one in everyday, indian=True)) for one in called)
    for called in known["nakshatras"]["names"]:
        yield from ((one, Meaning(f"nakshatra:{called[0].title()}", plain=True, indian=True)) for one in called)
    for suit, called in known["suits"].items():
        yield from ((f"suit of {one}", Meaning(f"suit:{suit}")) for one in called)
    for oracle in known["oracles"]:
        joined = (f"{b} {s}" for b in oracle.get("before", ()) for s in oracle.get("symbols", ()))
        yield from ((one, Meaning(f"oracle:{oracle['name']}")) for one in (*oracle["names"], *joined))
        yield from ((one, Meaning(f"oracle:{oracle['name']}", plain=True)) for one in oracle.get("plain", ()))
    for author, called in known["authors"].items():
        yield from ((one, Meaning(f"author:{author}")) for one in called)


def _is_one_word(name: str) -> bool:
    return " " not in name


def mentions_in(words: Sequence[Word]) -> Iterator[Mention]:
    """What is named, in its order, the longest name first. What is misspelt may mean something else.

    >>> named = mentions_in(words_of("Knave of Coins, then Mars in the 7th house squares ☽"))
    >>> [mention.meanings[0].subject for mention in named]
    ['card:Page of Pentacles', 'planet:Mars', 'house:7', 'aspect:Square', 'planet:Moon']
    """
    place = 0
    while place < len(words):
        end, meanings = max(_read(words, place), key=lambda found: found[0], default=(place + 1, ()))
        if any(word.guessed for word in words[place:end]):
            meanings = tuple(meaning._replace(plain=True) for meaning in meanings)
        if meanings:
            yield Mention(place, end, meanings)
        place = end


def _read(words: Sequence[Word], place: int) -> Iterator[tuple[int, tuple[Meaning, ...]]]:
    """All readings of the words from there on: where each ends, and what it means (nothing, where it is no name)."""
    yield from _by_name(words, place)
    for reader in (_minor, _trump, _house):
        if found := reader(words, place):
            yield found[0], (found[1],)


def _by_name(words: Sequence[Word], place: int) -> Iterator[tuple[int, tuple[Meaning, ...]]]:
    for end in range(min(place + 4, len(words)), place, -1):
        key = tuple(word.folded for word in words[place:end])
        if key in phrases("context", "not"):
            yield end, ()
        any_number = tuple(NUMBER.folded if part.isdecimal() else part for part in key)
        if found := names().get(key) or names().get(any_number):
            yield end, found
            return


def corrected(words: Sequence[Word]) -> list[Word]:
    """Words near to just one that names are made of are taken for it.

    >>> [word.folded for word in corrected(words_of("temperence and the knigth of cups"))]
    ['temperance', 'and', 'the', 'knight', 'of', 'cups']
    """
    return [_corrected(word) for word in words]


def _corrected(word: Word) -> Word:
    """A word of at least six letters may have one wrong; from five on, two may have changed places."""
    letters = word.folded
    if len(letters) < SHORTEST_MISSPELT or not letters.isalpha() or letters in _parts_of_names():
        return word
    near = sorted(name for name in _parts_of_names() if name[0] == letters[0] and _is_near(letters, name))
    is_one = near and all(names().get((name,)) == names().get((near[0],)) for name in near)
    return word._replace(folded=near[0], guessed=True) if is_one else word


@cache
def _parts_of_names() -> frozenset[str]:
    """And words that look like them."""
    said = [*names(), *_numbers(), *phrases("context", "spelt"), *phrases("orientations", "reversed")]
    every = {part for name in said for part in name} | _courts().keys() | _suits().keys()
    return frozenset(part for part in every if len(part) >= SHORTEST_MISSPELT)


def _is_near(word: str, name: str) -> bool:
    if abs(len(word) - len(name)) > 1:
        return False
    start = _shared(word, name)
    end = _shared(word[start:][::-1], name[start:][::-1])
    left, right = word[start : len(word) - end], name[start : len(name) - end]
    swapped = len(left) == 2 and left == right[::-1]
    return swapped or (max(len(word), len(name)) > SHORTEST_MISSPELT and max(len(left), len(right)) == 1)


def _shared(one: str, other: str) -> int:
    """How many letters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _minor(words: Sequence[Word], place: int) -> tuple[int, Meaning] | None:
    """`ten of cups`, `X Cups`, `knave of coins`, `dix d'épée`; also what no deck has, such as `fifteen of cups`."""
    rank, after = _rank(words, place)
    if rank is None:
        return None
    for gap in range(3):
        between = tuple(word.folded for word in words[after : after + gap])
        suit = _suits().get(words[after + gap].folded) if after + gap < len(words) else None
        if suit and between in OF and (gap or words[place].written != "I"):
            return after + gap + 1, Meaning(f"card:{rank} of {suit}", plain=not gap)
    return None


def _rank(words: Sequence[Word], place: int) -> tuple[str | None, int]:
    """The rank, and where it ends; `Fool` of cups is one that no deck has."""
    if court := _courts().get(words[place].folded):
        return court, place + 1
    number, after = number_at(words, place)
    if number is not None:
        ranks = vocabulary()["numbers"]["words"]
        return "Ace" if number == 1 else ranks[number].title() if number < len(ranks) else str(number), after
    between, suit = ([word.folded for word in words[place + n : place + n + 1]] for n in (1, 2))
    is_named = between == ["of"] and suit and suit[0].title() in vocabulary()["suits"]
    trump = next((m.name for m in names().get((words[place].folded,), ()) if m.family == "card"), None)
    return (trump if is_named else None), place + 1


@cache
def _courts() -> Mapping[str, str]:
    return {one: court for court, called in vocabulary()["courts"].items() for one in called}


@cache
def _suits() -> Mapping[str, str]:
    return {one: suit for suit, called in vocabulary()["suits"].items() for one in called}


@cache
def _numbers() -> Mapping[tuple[str, ...], int]:
    known = vocabulary()["numbers"]
    lists = (known["words"], known["ordinals"], known["french"], [roman.casefold() for roman in ROMAN])
    spelt = {_folded(word): number for listed in lists for number, word in enumerate(listed) if word}
    return {**spelt, **{(ace,): 1 for ace in known["ace"]}}


def number_at(words: Sequence[Word], place: int) -> tuple[int | None, int]:
    """A number in figures, words or Roman numerals, and where the words go on."""
    for end in (place + 2, place + 1):
        if (number := _numbers().get(tuple(word.folded for word in words[place:end]))) is not None:
            return number, min(end, len(words))
    figures = ORDINAL.fullmatch(words[place].folded) if place < len(words) else None
    return (int(figures[1]), place + 1) if figures else (None, place)


def _trump(words: Sequence[Word], place: int) -> tuple[int, Meaning] | None:
    """`trump fourteen`, `key 4`, `card numbered zero`, `the 13th card`; a Roman numeral that begins the text."""
    marker = words[place].folded
    after = place + 1
    numbered = after < len(words) and words[after].folded in NUMBERED
    if marker in ("trump", "key", "arcanum", "arcana", "card"):
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
    is_roman = words[place].written in ROMAN and (len(words[place].written) > 1 or len(words) == 1)
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
    """After `Mars in the` or `Mars in`."""
    before = [word.folded for word in words[max(0, place - 3) : place]]
    if before and before[-1] != "in":
        before.pop()
    named = names().get(tuple(before[-2:-1]), ()) if before[-1:] == ["in"] else ()
    return any(meaning.family == "planet" for meaning in named)


def places_of(words: Sequence[Word], listed: Collection[tuple[str, ...]]) -> set[int]:
    """Where one of the phrases begins."""
    folded = [word.folded for word in words]
    lengths = {len(phrase) for phrase in listed}
    return {place for place in range(len(words)) for n in lengths if tuple(folded[place : place + n]) in listed}


def _folded(name: str) -> tuple[str, ...]:
    return tuple(word.folded for part in name.split() for word in words_of(part) or [NUMBER])

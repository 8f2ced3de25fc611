"""Which subjects a text names: cards, planets, signs, houses, aspects, by the names that vocabulary.toml gives them."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from overfetch import Vocabulary, is_near, without_accents

LONGEST = 2_000  # characters of a question or a passage that are looked at
WORD = re.compile(r"[^\W_]+|[\u2200-\u27bf]")
ORDINAL = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?")
SHORTEST_MISSPELT = 5


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
    return [Word(found.casefold(), found) for found in WORD.findall(without_accents(text[:LONGEST]))]


def _folded(name: str) -> tuple[str, ...]:
    return tuple(word.folded for part in name.split() for word in words_of(part) or [NUMBER])


KNOWN = Vocabulary("sagedaily", _folded)  # its lists in words as they are compared


@cache
def trumps() -> tuple[str, ...]:
    return tuple(trump["name"] for trump in KNOWN.table("trumps"))


@cache
def names() -> Names:
    """Every name of one or more words; what is composed (minor cards, numbers, houses) is read by rule."""
    table: dict[tuple[str, ...], tuple[Meaning, ...]] = {}
    for name, meaning in _listed():
        key = _folded(name)
        table[key] = (*table.get(key, ()), meaning)
    return table


def _listed() -> Iterator[tuple[str, Meaning]]:
    for trump in KNOWN.table("trumps"):
        yield from ((name, Meaning(f"card:{trump['name']}")) for name in trump["names"])
        yield from ((name, Meaning(f"card:{trump['name']}", plain=True)) for name in trump["plain"])
    everyday = {*KNOWN.table("context.plain")}
    for family, table in (("planet", "planets"), ("sign", "signs"), ("aspect", "aspects"), ("house", "houses")):
        is_plain = everyday.__contains__ if family == "aspect" else _is_one_word
        for name, called in KNOWN.table(table).items():
            yield from ((one, Meaning(f"{family}:{name}", is_plain(one))) for one in called)
        for name, called in KNOWN.table("sanskrit").get(table, {}).items():
            yield from ((one, Meaning(f"{family}:{name}", one in everyday, indian=True)) for one in called)
    for called in KNOWN.table("nakshatras.names"):
        yield from ((one, Meaning(f"nakshatra:{called[0].title()}", plain=True, indian=True)) for one in called)
    for suit, called in KNOWN.table("suits").items():
        yield from ((f"suit of {one}", Meaning(f"suit:{suit}")) for one in called)
    for oracle in KNOWN.table("oracles"):
        joined = (f"{b} {s}" for b in oracle.get("before", ()) for s in oracle.get("symbols", ()))
        yield from ((one, Meaning(f"oracle:{oracle['name']}")) for one in (*oracle["names"], *joined))
        yield from ((one, Meaning(f"oracle:{oracle['name']}", plain=True)) for one in oracle.get("plain", ()))
    for author, called in KNOWN.table("authors").items():
        yield from ((one, Meaning(f"author:{author}")) for one in called)


def _is_one_word(name: str) -> bool:
    return " " not in name


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
    near = sorted(name for name in _parts_of_names() if name[0] == letters[0] and is_near(letters, name))
    is_one = near and all(names().get((name,)) == names().get((near[0],)) for name in near)
    return word._replace(folded=near[0], guessed=True) if is_one else word


@cache
def _parts_of_names() -> frozenset[str]:
    """And words that look like them."""
    said = [*names(), *numbers(), *KNOWN.words("context.spelt"), *KNOWN.words("orientations.reversed")]
    every = {part for name in said for part in name} | KNOWN.meanings("courts").keys() | KNOWN.meanings("suits").keys()
    return frozenset(part for part in every if len(part) >= SHORTEST_MISSPELT)


@cache
def numbers() -> Mapping[tuple[str, ...], int]:
    known = KNOWN.table("numbers")
    lists = (known[form] for form in ("words", "ordinals", "french", "roman"))
    spelt = {_folded(word): number for listed in lists for number, word in enumerate(listed) if word}
    return {**spelt, **{(ace,): 1 for ace in KNOWN.table("numbers.ace")}}


def number_at(words: Sequence[Word], place: int) -> tuple[int | None, int]:
    """A number in figures, words or Roman numerals, and where the words go on."""
    for end in (place + 2, place + 1):
        if (number := numbers().get(tuple(word.folded for word in words[place:end]))) is not None:
            return number, min(end, len(words))
    figures = ORDINAL.fullmatch(words[place].folded) if place < len(words) else None
    return (int(figures[1]), place + 1) if figures else (None, place)


def places_of(words: Sequence[Word], listed: Collection[tuple[str, ...]]) -> set[int]:
    """Where one of the phrases begins."""
    folded = [word.folded for word in words]
    lengths = {len(phrase) for phrase in listed}
    return {place for place in range(len(words)) for n in lengths if tuple(folded[place : place + n]) in listed}

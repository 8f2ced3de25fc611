"""How a question about cards and charts is read: which subjects it names, which way up, by whose book."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from overfetch import AnyOf, Focus, Understood
from sagedaily.absent import absent
from sagedaily.mentions import OF_CHARTS, Mention, in_full, mentions_in
from sagedaily.vocabulary import KNOWN, Meaning, Word, corrected, indian, places_of, trumps, words_of

# Entries without an orientation speak of both, so they stay in every draw.
NO_ORIENTATION = "any"
WAYS = {"card": ("upright", "reversed"), "planet": ("direct", "retrograde")}
ORIENTATIONS = (*WAYS["card"], *WAYS["planet"])
MOST_SUBJECTS = 4  # a question that names more is about something else
MOST_LISTED = 8  # but for one that does little else
MOST = 32  # names and focuses that an `Understood` has
FEW_WORDS = 2  # beside names: then the question is about what it names
RAISES, HINTS = 1.0, 0.7  # beside the question's own list, which has 1
OWNED = {"my", "natal", "your", "his", "her", "their", "transiting", "transit"}
INDIAN = "Jyotish"
JOINING = {"and", "or", "vs", "versus", "with", "the", "then", "a", "to", "than"}


class Subject(NamedTuple):
    """What a question names in one place, with what else it may be.

    `sure` where it is meant; `certain` where not even a short question could mean another thing; `others` are the
    words of the question that neither name nor ask; `way` is the orientation that is said of it.
    """

    names: tuple[str, ...]
    sure: bool
    certain: bool = True
    others: int = 0
    indian: bool = False
    start: int = 0
    way: str | None = None

    @property
    def family(self) -> str:
        return self.names[0].partition(":")[0]

    @property
    def spelt(self) -> str:
        return " or ".join(spell(name) for name in self.names)


def understand(question: str, _day: date) -> Understood:
    """Entries on what is surely named lead, each in its turn, those of the orientation that is said.

    Written as a draw, with the orientation after a comma, the question is bound to it.

    >>> knave = understand("Knave of Coins, reversed", date(2026, 1, 1))
    >>> knave.text, knave.conditions
    ('Knave of Coins, reversed (Page of Pentacles)', (AnyOf(field='orientation', values=('reversed', 'any')),))
    >>> opposed = understand("Saturn opposing my natal Sun", date(2026, 1, 1))
    >>> [focus.conditions[0].values[0] for focus in opposed.focuses if focus.leads][1:]
    ['aspect:Opposition', 'planet:Saturn', 'planet:Sun']
    >>> understand("what is lost at dawn", date(2026, 1, 1)).focuses
    ()
    """
    draw = _draw(question)
    question = ", ".join(draw) if draw else question.strip()
    words = corrected(words_of(full := in_full(question)))
    mentions = list(mentions_in(words))
    subjects = subjects_of(words, mentions)
    authors = [m.name for mention in mentions for m in mention.meanings if m.family == "author"]
    return Understood(
        text=_with_names(question, subjects),
        conditions=_turned(_drawn(question, subjects)) if draw else (),
        focuses=(*_focuses(subjects, authors), *absent(full, words, mentions))[:MOST],
        named=tuple(dict.fromkeys(name for subject in subjects for name in _written(subject)))[:MOST],
        notes=tuple(_notes(subjects, authors)),
    )


def subjects_of(words: Sequence[Word], mentions: Sequence[Mention]) -> list[Subject]:
    """What is named, each once; nothing of which it is unclear whether an everyday word is one."""
    known = _Question(words, mentions)
    found = [known.subject(mention) for mention in mentions if mention.meanings[0].family != "author"]
    distinct = {subject.names: subject for subject in reversed(found) if subject}
    return list(_with_ways(words, sorted(distinct.values(), key=lambda subject: subject.start)))


def _with_ways(words: Sequence[Word], subjects: Sequence[Subject]) -> Iterator[Subject]:
    """Each with the orientation that is said after it, of the first also before; with none where that is both."""
    turning = [s for s in subjects if s.sure and s.family in WAYS]
    said: dict[int, set[str]] = {subject.start: set() for subject in turning}
    for way in ORIENTATIONS if turning else ():
        for place in places_of(words, KNOWN.words(f"orientations.{way}")):
            if not any((word.folded,) in KNOWN.words("context.denied") for word in words[place - 1 : place]):
                said[max((start for start in said if start < place), default=turning[0].start)].add(way)
    for subject in subjects:
        ways = said.get(subject.start, set()).intersection(WAYS.get(subject.family, ()))
        yield subject._replace(way=ways.pop()) if len(ways) == 1 else subject


class _Question:
    """What else a question says, by which an everyday word is known to be a card's or a planet's name."""

    def __init__(self, words: Sequence[Word], mentions: Sequence[Mention]) -> None:
        self.words = words
        self.mentions = mentions
        self.meanings = [meaning for mention in mentions for meaning in mention.meanings]
        named = {place for m in mentions for place in range(m.start, m.end)}
        stop = KNOWN.words("context.stop")
        self.others = {i for i, w in enumerate(words) if i not in named and (w.folded,) not in stop}
        of_cards = ("context.cards", "orientations.reversed", "orientations.upright")
        self.card_words = {place for path in of_cards for place in places_of(words, KNOWN.words(path))}
        self.of_charts = self._is_of_charts()
        self.cards = [m for m in mentions if any(e.family in ("card", "suit") and not e.plain for e in m.meanings)]
        self.cards = self.cards or [m for m in mentions if self._is_marked(m)]
        self.of_cards = bool(self.card_words or self.cards)
        self.is_indian = any(e.indian and (not e.plain or e.family == "nakshatra") for e in self.meanings)

    def _is_of_charts(self) -> bool:
        if places_of(self.words, KNOWN.words("context.charts") | (KNOWN.words("orientations.retrograde") - {("rx",)})):
            return True
        if any(e.indian or (e.family in ("house", "nakshatra", "aspect") and not e.plain) for e in self.meanings):
            return True
        named = [m for m in self.mentions if any(e.family in OF_CHARTS for e in m.meanings)]
        return len(named) > 1 and any(all(e.family in OF_CHARTS for e in m.meanings) for m in named)

    def subject(self, mention: Mention) -> Subject | None:
        kept = self._meant(mention)
        if not kept or (kept[0].family == "aspect" and kept[0].plain and not self.of_charts):
            return None
        certain = not self.others or all(not e.plain or self._is_clear(e, mention) for e in kept)
        names = tuple(e.subject for e in kept)
        indian = any(e.indian for e in kept) or (self.is_indian and kept[0].family in ("planet", "sign"))
        is_told = self.of_cards or self.of_charts or not (kept[0].family == "planet" or kept[0].name in trumps())
        few = FEW_WORDS - (len({e.family for e in kept}) > 1) if is_told else 0
        return Subject(names, certain or len(self.others) <= few, certain, len(self.others), indian, mention.start)

    def _meant(self, mention: Mention) -> list[Meaning]:
        """The sun of a chart or that of the cards, where the question says so."""
        if {e.family for e in mention.meanings} != {"card", "planet"}:
            return list(mention.meanings)
        owned = mention.start > 0 and self.words[mention.start - 1].folded in OWNED
        family = "planet" if owned or self.of_charts else "card" if self.of_cards else ""
        return [e for e in mention.meanings if e.family == family or not family]

    def _is_clear(self, meaning: Meaning, mention: Mention) -> bool:
        if meaning.family != "card":
            return self.of_charts
        if not self.cards or mention in self.cards or self._is_marked(mention):
            return self.of_cards
        return self._is_joined(mention)

    def _is_marked(self, mention: Mention) -> bool:
        """A card by how it is written, or by the words beside it; a sun of charts by neither."""
        families = {e.family for e in mention.meanings}
        if families == {"card", "planet"} and self.of_charts:
            return False
        return "card" in families and (self._is_drawn(mention) or self._is_titled(mention))

    def _is_titled(self, mention: Mention) -> bool:
        """As a card's name within a sentence: `I always get The Emperor`, no `Simon Magus` or `Emperor Julian`."""
        first = mention.start - (self.words[mention.start - 1].folded == "the")
        capitals = {place for place, word in enumerate(self.words) if word.written[0].isupper()}
        is_of_another = mention.end in capitals or mention.start - 1 in capitals & self.others
        return first > 0 and capitals.issuperset(range(first, mention.end)) and not is_of_another

    def _is_drawn(self, mention: Mention) -> bool:
        """It stands beside a word of cards: `the tower, reversed`, `I pulled the star`."""
        beside = {*range(mention.start - 3, mention.start), *range(mention.end, mention.end + 3)}
        return bool(beside & self.card_words)

    def _is_joined(self, mention: Mention) -> bool:
        """To a card: `emperor or king of wands`."""
        gaps = ((c.end, mention.start) if c.end <= mention.start else (mention.end, c.start) for c in self.cards)
        return any(all(w.folded in JOINING for w in self.words[start:end]) for start, end in gaps)


def orientation_in(question: str) -> str | None:
    """Which way up the card was drawn, or which way the planet moves; None where it is not said, or both are."""
    words = corrected(words_of(in_full(question)))
    return _drawn(question, subjects_of(words, list(mentions_in(words))))


def _draw(question: str) -> tuple[str, str] | None:
    """`The Tower, reversed` as subject and orientation."""
    subject, _, orientation = (part.strip() for part in question.rpartition(","))
    return (subject, orientation.lower()) if subject and orientation.lower() in ORIENTATIONS else None


def _drawn(question: str, subjects: Sequence[Subject]) -> str | None:
    """The orientation of all that is asked: of several cards, each has its own."""
    turning = [s.way for s in subjects if s.sure and s.family in WAYS]
    said = draw[1] if (draw := _draw(question)) else turning[0] if turning else None
    return said if len(turning) < 2 else None


def _turned(way: str | None) -> tuple[AnyOf, ...]:
    return (AnyOf(field="orientation", values=(way, NO_ORIENTATION)),) if way else ()


def _focuses(subjects: Sequence[Subject], authors: Sequence[str]) -> Iterator[Focus]:
    """First what is about all that is named, then each of it; by whom it is asked for goes before others."""
    by = tuple(AnyOf(field="authors", values=(author,)) for author in authors[:1])
    sure = sorted((s for s in subjects if s.sure), key=lambda s: s.family != "aspect")  # what relates the others
    leads = _leads(sure) or bool(by)
    if len(sure) in (2, 3):
        yield Focus(conditions=tuple(AnyOf(field="subjects", values=s.names) for s in sure), leads=True)
        yield Focus(conditions=tuple(AnyOf(field="mentions", values=s.names) for s in sure), weight=RAISES)
    for subject in sure[: MOST_LISTED if leads else MOST_SUBJECTS]:
        is_indian = subject.indian or INDIAN in authors
        sole = AnyOf(field="sole", values=tuple(map(indian, subject.names)) if is_indian else subject.names)
        yield Focus(conditions=(sole, *by, *_turned(subject.way)), leads=leads, weight=RAISES)
        named = AnyOf(field="mentions", values=subject.names)
        yield Focus(conditions=(named, *by), weight=HINTS, missing=_missing(subject, authors))
    for subject in [s for s in subjects if not s.sure][:MOST_SUBJECTS]:
        yield Focus(conditions=(AnyOf(field="sole", values=subject.names),), weight=HINTS)
    if by:
        yield Focus(conditions=by, weight=RAISES, missing=f"nothing by {authors[0]}")


def _leads(sure: Sequence[Subject]) -> bool:
    """Whether the question is about what it names."""
    families = {subject.family for subject in sure}
    if len(sure) < 2:
        return families != {"planet"} or not sure[0].others
    is_list = families != {"planet"} and sure[0].others <= len(sure)
    return len(sure) <= (2 if families == {"sign"} else MOST_LISTED if is_list else MOST_SUBJECTS)


def _missing(subject: Subject, authors: Sequence[str]) -> str | None:
    """What is said where nothing names it; of a word that is perhaps everyday, nothing is."""
    in_texts = subject.family in ("planet", "sign") and subject.spelt not in KNOWN.table("context.titles")
    if not (subject.certain or in_texts):
        return None
    return f"{subject.spelt} in {authors[0]}" if authors else subject.spelt


def _with_names(question: str, subjects: Sequence[Subject]) -> str:
    """The question, and the words by which the books know the cards, and their ways, that it calls otherwise."""
    said = " ".join(word.folded for word in words_of(question))
    told = [s for s in subjects if len(s.names) == 1 and s.family in (*WAYS, "sign") and (s.sure or s.family != "card")]
    names = dict.fromkeys(name for s in told for name in (s.spelt, s.way) if name)
    others = [name for name in names if " ".join(w.folded for w in words_of(name)).removeprefix("the ") not in said]
    return f"{question} ({', '.join(others)})" if others else question


def _written(subject: Subject) -> Iterator[str]:
    """How texts write it."""
    for name in subject.names:
        family, _, called = name.partition(":")
        ordinals = KNOWN.table("numbers.ordinals")
        if family != "house":
            yield called.removeprefix("The ")
        elif called.isdecimal() and int(called) < len(ordinals):
            yield f"{ordinals[int(called)]} house"


def _notes(subjects: Sequence[Subject], authors: Sequence[str]) -> Iterator[str]:
    for subject in subjects:
        yield f"{subject.family}: {subject.spelt}{'' if subject.sure else ', perhaps'}"
    if authors:
        yield f"by {authors[0]}"
    for way in dict.fromkeys(subject.way for subject in subjects if subject.way):
        yield f"entries on {way}, and those on both, go first"


def spell(name: str) -> str:
    """
    >>> spell("card:Fifteen of Cups"), spell("house:7")
    ('Fifteen of Cups', 'house 7')
    """
    family, _, called = name.partition(":")
    return f"house {called}" if family == "house" else called

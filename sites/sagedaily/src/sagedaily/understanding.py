"""How a question about cards and charts is read: which subjects it names, which way up, by whose book."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

from overfetch import AnyOf, Focus, Understood
from sagedaily.absent import absent
from sagedaily.mentions import Mention, mentions_in
from sagedaily.vocabulary import (
    KNOWN,
    Meaning,
    Word,
    corrected,
    indian,
    places_of,
    words_of,
)

# Entries without an orientation speak of both, so they stay in every draw.
NO_ORIENTATION = "any"
ORIENTATIONS = ("upright", "reversed", "direct", "retrograde")
OF_CHARTS = ("planet", "sign", "house", "aspect", "nakshatra")
MOST_SUBJECTS = 4  # a question that names more is about something else
FEW_WORDS = 2  # beside names: then the question is about what it names
SOME_WORDS = 3  # beside a planet alone: of more, the planet is but a part
RAISES, HINTS = 1.0, 0.7  # beside the question's own list, which has 1
OWNED = {"my", "natal", "your", "his", "her", "their", "transiting", "transit"}
INDIAN = "Jyotish"
JOINING = {"and", "or", "vs", "versus", "with", "the", "then", "a", "to", "than"}


class Subject(NamedTuple):
    """What a question names in one place, with what else it may be.

    `sure` where it is meant; `certain` where not even a short question could mean another thing; `others` are the
    words of the question that name nothing.
    """

    names: tuple[str, ...]
    sure: bool
    certain: bool = True
    others: int = 0
    indian: bool = False
    start: int = 0

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
    words = corrected(words_of(question))
    mentions = list(mentions_in(words))
    subjects = subjects_of(words, mentions)
    authors = [m.name for mention in mentions for m in mention.meanings if m.family == "author"]
    drawn = _drawn(question, words, subjects)
    way = (AnyOf(field="orientation", values=(drawn, NO_ORIENTATION)),) if drawn else ()
    return Understood(
        text=_with_names(question, subjects),
        conditions=way if draw else (),
        focuses=(*_focuses(subjects, authors, way), *absent(question, words, mentions)),
        named=tuple(dict.fromkeys(name for subject in subjects for name in _written(subject))),
        notes=tuple(_notes(subjects, authors, drawn)),
    )


def subjects_of(words: Sequence[Word], mentions: Sequence[Mention]) -> list[Subject]:
    """What is named, each once; nothing of which it is unclear whether an everyday word is one."""
    known = _Question(words, mentions)
    found = [known.subject(mention) for mention in mentions if not _is_author(mention)]
    distinct = {subject.names: subject for subject in reversed(found) if subject}
    return sorted(distinct.values(), key=lambda subject: subject.start)


class _Question:
    """What else a question says, by which an everyday word is known to be a card's or a planet's name."""

    def __init__(self, words: Sequence[Word], mentions: Sequence[Mention]) -> None:
        self.words = words
        self.mentions = mentions
        of_cards = ("context.cards", "orientations.reversed", "orientations.upright")
        self.card_words = {place for path in of_cards for place in places_of(words, KNOWN.words(path))}
        self.of_charts = self._is_of_charts()
        self.cards = [m for m in mentions if any(e.family in ("card", "suit") and not e.plain for e in m.meanings)]
        self.cards = self.cards or [m for m in mentions if self._is_marked(m)]
        self.of_cards = bool(self.card_words or self.cards)
        named = {place for m in mentions for place in range(m.start, m.end)}
        stop = KNOWN.words("context.stop")
        self.others = sum((w.folded,) not in stop for i, w in enumerate(words) if i not in named)

    def _is_of_charts(self) -> bool:
        if places_of(self.words, KNOWN.words("context.charts") | (KNOWN.words("orientations.retrograde") - {("rx",)})):
            return True
        meanings = [e for m in self.mentions for e in m.meanings]
        if any(e.indian or (e.family in ("house", "nakshatra", "aspect") and not e.plain) for e in meanings):
            return True
        named = [m for m in self.mentions if any(e.family in OF_CHARTS for e in m.meanings)]
        return len(named) > 1 and any(all(e.family in OF_CHARTS for e in m.meanings) for m in named)

    def subject(self, mention: Mention) -> Subject | None:
        kept = self._meant(mention)
        if not kept:
            return None
        if kept[0].family == "aspect" and kept[0].plain and not self.of_charts:
            return None
        certain = not self.others or all(not e.plain or self._is_clear(e, mention) for e in kept)
        names = tuple(e.subject for e in kept)
        indian = any(e.indian for e in kept)
        few = FEW_WORDS if len({e.family for e in kept}) == 1 else FEW_WORDS - 1
        return Subject(names, certain or self.others <= few, certain, self.others, indian, mention.start)

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
        """Written as a card's name within a sentence: `I always get The Emperor`, but not `the Emperor Julian`."""
        before, after = (self.words[i : i + 1] for i in (mention.start - 1, mention.end))
        named = [word.written[0].isupper() for word in self.words[mention.start : mention.end]]
        follows = bool(after) and after[0].written[0].isupper()
        is_article = bool(before) and before[0].folded == "the"
        said = mention.start > 1 if is_article else mention.start > 0
        return said and all(named) and not follows and (not is_article or before[0].written == "The")

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
    words = corrected(words_of(question))
    return _drawn(question, words, subjects_of(words, list(mentions_in(words))))


def _draw(question: str) -> tuple[str, str] | None:
    """`The Tower, reversed` as subject and orientation."""
    subject, _, orientation = (part.strip() for part in question.rpartition(","))
    return (subject, orientation.lower()) if subject and orientation.lower() in ORIENTATIONS else None


def _drawn(question: str, words: Sequence[Word], subjects: Sequence[Subject]) -> str | None:
    if draw := _draw(question):
        return draw[1]
    families = [s.family for s in subjects if s.sure and s.family in ("card", "planet")]
    ways = ORIENTATIONS[:2] if families == ["card"] else ORIENTATIONS[2:] if families == ["planet"] else ()
    said = [way for way in ways if places_of(words, KNOWN.words(f"orientations.{way}"))]
    return said[0] if len(said) == 1 else None


def _focuses(subjects: Sequence[Subject], authors: Sequence[str], way: tuple[AnyOf, ...]) -> Iterator[Focus]:
    """First what is about all that is named, then each of it; by whom it is asked for goes before others."""
    by = tuple(AnyOf(field="authors", values=(author,)) for author in authors[:1])
    sure = sorted((s for s in subjects if s.sure), key=lambda s: s.family != "aspect")  # what relates the others
    leads = _leads(sure) or bool(by)
    if len(sure) in (2, 3):
        yield Focus(conditions=tuple(AnyOf(field="subjects", values=s.names) for s in sure), leads=True)
        yield Focus(conditions=tuple(AnyOf(field="mentions", values=s.names) for s in sure), weight=RAISES)
    for subject in sure[:MOST_SUBJECTS]:
        is_indian = subject.indian or INDIAN in authors
        sole = tuple(map(indian, subject.names)) if is_indian else subject.names
        yield Focus(conditions=(AnyOf(field="sole", values=sole), *by, *way), leads=leads, weight=RAISES)
        named = AnyOf(field="mentions", values=subject.names)
        yield Focus(conditions=(named, *by), weight=HINTS, missing=_missing(subject, authors))
    for subject in [s for s in subjects if not s.sure][:MOST_SUBJECTS]:
        yield Focus(conditions=(AnyOf(field="sole", values=subject.names),), weight=HINTS)
    if by:
        yield Focus(conditions=by, weight=RAISES, missing=f"nothing by {authors[0]}")


def _leads(sure: Sequence[Subject]) -> bool:
    """Whether the question is about what it names."""
    if [subject.family for subject in sure] == ["planet"]:
        return sure[0].others <= SOME_WORDS
    return len(sure) <= (2 if {subject.family for subject in sure} == {"sign"} else MOST_SUBJECTS)


def _missing(subject: Subject, authors: Sequence[str]) -> str | None:
    """What is said where nothing names it; of a word that is perhaps everyday, nothing is."""
    in_texts = subject.family in ("planet", "sign") and subject.spelt not in KNOWN.table("context.titles")
    if not (subject.certain or in_texts):
        return None
    return f"{subject.spelt} in {authors[0]}" if authors else subject.spelt


def _with_names(question: str, subjects: Sequence[Subject]) -> str:
    """The question, and the names under which the books know the cards that it calls otherwise."""
    said = " ".join(word.folded for word in words_of(question))
    names = [s.spelt for s in subjects if s.family in ("card", "planet", "sign")]
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


def _notes(subjects: Sequence[Subject], authors: Sequence[str], drawn: str | None) -> Iterator[str]:
    for subject in subjects:
        yield f"{subject.family}: {subject.spelt}{'' if subject.sure else ', perhaps'}"
    if authors:
        yield f"by {authors[0]}"
    if drawn:
        yield f"entries on {drawn}, and those on both, go first"


def _is_author(mention: Mention) -> bool:
    return mention.meanings[0].family == "author"


def spell(name: str) -> str:
    """
    >>> spell("card:Fifteen of Cups"), spell("house:7")
    ('Fifteen of Cups', 'house 7')
    """
    family, _, called = name.partition(":")
    return f"house {called}" if family == "house" else called

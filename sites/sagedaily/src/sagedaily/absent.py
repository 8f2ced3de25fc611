"""What a canon may not have at all: other oracles and arts, authors of other books, bodies that it never names."""

from collections.abc import Iterator, Sequence
from functools import cache

from overfetch import Focus, absence, unheard
from sagedaily.mentions import Mention
from sagedaily.vocabulary import KNOWN, Word, names, places_of

SHORT = 12  # words of a question


def absent(question: str, words: Sequence[Word], mentions: Sequence[Mention]) -> Iterator[Focus]:
    """What readers ask for that these books need not speak of: nothing does without one of its words.

    In a long question a rare word is of the asker's own story.
    """
    for told, subject in KNOWN.table("elsewhere").items():
        if places_of(words, KNOWN.words(f"elsewhere.{told}.asked")):
            yield absence(told, words=subject["written"])
    yield from (absence(f"nothing by '{name}'", words=name) for name in _unread(words))
    yield from (absence(f"nothing about '{name}'", words=name) for name in _placed(words, mentions))
    if len(words) <= SHORT:
        yield from unheard(question, KNOWN.knows)


def _placed(words: Sequence[Word], mentions: Sequence[Mention]) -> Iterator[str]:
    """What stands in a sign or a house, `Hygiea in Leo`, and is called by a name that may be in no book."""
    named = {place for mention in mentions for place in range(mention.start, mention.end)}
    for mention in mentions:
        before = mention.start - 1 - (words[mention.start - 1].folded == "the")
        if mention.meanings[0].family in ("sign", "house") and before > 0 and words[before].folded == "in":
            name = words[before - 1].folded
            if before - 1 not in named and len(name) > 3 and (name,) not in KNOWN.words("context.stop"):
                yield name


def _unread(words: Sequence[Word]) -> Iterator[str]:
    """By whom a question wants something: `what does NAME say`, `according to NAME`."""
    folded = [word.folded for word in words]
    beside = [folded[place - 1 : place] for place in sorted(places_of(words, KNOWN.words("context.says")))]
    beside += [folded[place + 2 : place + 4] for place in sorted(places_of(words, KNOWN.words("context.according")))]
    for near in beside:
        yield from [name for name in near if _is_authors(name)][-1:]


def _is_authors(name: str) -> bool:
    nobody = KNOWN.words("context.stop") | KNOWN.words("context.nobody")
    return len(name) > 3 and name not in _parts_of_names() and (name,) not in nobody


@cache
def _parts_of_names() -> frozenset[str]:
    return frozenset(part for name in names() for part in name)

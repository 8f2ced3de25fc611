"""Whether a quote stands in a text word for word, however spaces, quotation marks and dashes are set.

What is forgiven changes no word: white space, line breaks, soft hyphens and invisible joiners, the shape of quotation
marks and dashes, canonical and width variants of the same character (Unicode TR15). What could change a letter or a
figure is not: look-alikes of other scripts, superscripts, styled letters, controls of direction, a word without its
beginning, a part of a number.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

# Too few letters prove nothing: "a" stands in every passage. A wide (Chinese, Japanese, Korean) letter counts twice.
MIN_LETTERS = 12

QUOTATION_MARKS = dict.fromkeys("‘’‚‛′ʼ`´＇｀", "'") | dict.fromkeys('“”„‟″«»＂"', '"')
DASHES = dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
SAME = QUOTATION_MARKS | DASHES
# Variants that look and mean the same. Not <super>, <sub>, <fraction>, <circle>, <square>, <font>: 10² is not 102.
SAME_MEANING = {"<compat>", "<wide>", "<narrow>", "<small>", "<vertical>", "<noBreak>", "<initial>", "<medial>"}
SAME_MEANING |= {"<final>", "<isolated>"}
VARIATION_SELECTORS = "\ufe0e\ufe0f"
# Soft hyphen, zero-width space, joiners, byte-order mark: left behind by layout and by copying.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff" + VARIATION_SELECTORS
HYPHENS = "-‐‑"
WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese, Khmer
CURRENCY = "$€£¥"


class Folded(NamedTuple):
    """A text in the form that is compared, and where in the source each of its characters came from."""

    text: str
    places: tuple[int, ...]


def find_verbatim(quote: str, text: str) -> str | None:
    """The words of `text` that `quote` repeats, as the text has them but for spacing; None where it does not."""
    if any(_is_deceptive(c) for c in quote):
        return None
    source = fold(text)
    wanted = fold(quote).text.strip()
    for form in _unwrapped(wanted):
        start = source.text.find(form) if has_substance(form, source.text) else -1
        while start >= 0:
            end = _word_end(source, text, start + len(form))
            if not (_is_inside_word(source, text, start) or _is_inside_word(source, text, end)):
                return " ".join(text[source.places[start] : source.places[end]].split())
            start = source.text.find(form, start + 1)
    return None


def _unwrapped(quote: str) -> Iterable[str]:
    """The quote, and what is left of it where a model has set it in quotation marks of its own."""
    inner = quote[1:-1].strip() if quote[:1] == "'" == quote[-1:] else quote
    return dict.fromkeys((quote, inner, quote.strip("' ")))


def has_substance(quote: str, text: str) -> bool:
    """Enough letters and digits to prove something, or all that the text says."""
    letters = sum(2 if _is_wide(c) else 1 for c in quote if c.isalnum())
    return letters >= MIN_LETTERS or (letters > 0 and quote == text.strip())


@lru_cache(maxsize=2048)
def fold(text: str) -> Folded:
    """White space to single spaces, invisible characters away, marks and variants to one form; places end with
    the source's length."""
    folded: list[str] = []
    places: list[int] = []
    for start, end in pairwise([*_cluster_starts(text), len(text)]):
        form = unicodedata.normalize("NFC", "".join(map(_plain, text[start:end])))
        if form == " " and folded[-1:] == [" "]:
            continue
        if form == '"' and not (folded and folded[-1].isdigit()):  # 5" is not 5'
            form = "'"
        folded.extend(form)
        places.extend([start] * len(form))
    return Folded("".join(folded), (*places, len(text)))


def _cluster_starts(text: str) -> list[int]:
    """Where a character begins that is no combining mark of the one before it."""
    return [i for i, c in enumerate(text) if i == 0 or not unicodedata.combining(c)]


def _plain(character: str) -> str:
    if character.isspace():
        return " "
    if character in SAME:
        return SAME[character]
    if character in VARIATION_SELECTORS or unicodedata.category(character) == "Cf":
        return ""
    tag = unicodedata.decomposition(character).partition(" ")[0]
    return unicodedata.normalize("NFKC" if tag in SAME_MEANING else "NFC", character)


def _is_deceptive(character: str) -> bool:
    """A control, such as of direction, or a character that is not assigned: it may show other than what it says."""
    return (
        unicodedata.category(character)[0] == "C" and character not in INVISIBLE and not character.isspace()
    )  # Cc, Cf, Cs, Co, Cn


def _word_end(source: Folded, raw: str, place: int) -> int:
    """Where a word ends whose last letters were cut off, as by a limit on length: the reader sees all of it."""
    while place < len(source.text) and source.text[place - 1].isalpha() and _is_inside_word(source, raw, place):
        place += 1
    return place


def _is_inside_word(source: Folded, raw: str, place: int) -> bool:
    """Whether a cut at `place` parts a word or a number: un|likely, non-|toxic, 3|.5, -|5, 5|%."""
    text = source.text
    if place in (0, len(text)):
        return False
    before, after = text[place - 1], text[place]
    if unicodedata.combining(after) or (before.isalnum() and after.isalnum()):
        return not (_is_wide(before) or _is_wide(after))
    if after.isdigit() and (before in "+-±~<>≤≥." or before in CURRENCY):
        return not _is_long_dash(raw[source.places[place - 1]])
    if before.isdigit() and (after in "%‰°" or after in CURRENCY):
        return True
    return _is_joined(source, raw, place - 1) or _is_joined(source, raw, place)


def _is_joined(source: Folded, raw: str, place: int) -> bool:
    """Whether the character there joins letters or digits on both sides into one word."""
    text, character = source.text, source.text[place]
    if not 0 < place < len(text) - 1 or not (text[place - 1].isalnum() and text[place + 1].isalnum()):
        return False
    if text[place - 1].isdigit() and text[place + 1].isdigit():
        return character in ".,:/-'_"
    return character in "'_." or raw[source.places[place]] in HYPHENS


def _is_long_dash(character: str) -> bool:
    """One that parts clauses, not a minus or a hyphen."""
    return character in "—―"


def _is_wide(character: str) -> bool:
    """Of a script that is written without spaces."""
    return unicodedata.east_asian_width(character) in "WF" or bool(WITHOUT_SPACES.match(character))

"""Whether a quote stands in a text word for word, however spaces, quotation marks and dashes are set.

What is forgiven changes no word: white space, line breaks, soft hyphens and invisible joiners, the shape of quotation
marks and dashes, canonical and width variants of the same character (Unicode TR15), Markdown's marks and HTML's
entities. What could change a letter or a figure is not: look-alikes of other scripts, superscripts, styled letters,
controls of direction that the text has not, a word without its beginning, a part of a figure (`whole_figures.py`), what
looks like a mark within code.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from overfetch.markup import decoded, unmarked
from overfetch.whole_figures import parts_figure

# Too few letters prove nothing: "a" stands in every passage. A wide (Chinese, Japanese, Korean) letter counts twice.
MIN_LETTERS = 12

APOSTROPHES = "'‘’‛′ʼ`´＇｀"
QUOTATION_MARKS = dict.fromkeys(APOSTROPHES + "‚‹›❛❜", "'")
QUOTATION_MARKS |= dict.fromkeys('“”„‟″«»＂"❝❞〝〞〟「」『』｢｣﹁﹂﹃﹄', '"')
# As French sets them: « so », but not the German »so«.
WITHIN_GUILLEMETS = re.compile(r"(?:(?<=^[«‹])|(?<=[\s(][«‹]))\s+|(?<!\s)\s+(?=[»›](?!\w))")
DASHES = dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
SAME = QUOTATION_MARKS | DASHES
# Variants that look and mean the same. Not <super>, <sub>, <fraction>, <circle>, <square>, <font>: 10² is not 102.
SAME_MEANING = {"<compat>", "<wide>", "<narrow>", "<small>", "<vertical>", "<noBreak>", "<initial>", "<medial>"}
SAME_MEANING |= {"<final>", "<isolated>"}
VARIATION_SELECTORS = "\ufe0e\ufe0f"
# Soft hyphen, zero-width space, joiners, byte-order mark: left behind by layout and by copying.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060\ufeff" + VARIATION_SELECTORS
# No language stacks more on one letter (Unicode TR15: stream-safe), and putting them in order takes their square.
MOST_MARKS = 30
# A word cut off by a limit on length is shown whole, but not a whole line without spaces.
MOST_LETTERS = 100
# Where a quote stands inside of words so often, it is no quote.
MOST_PLACES = 1_000
WITHOUT_SPACES = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese, Khmer
SIGNS = ("Sc", "Sm")
JOINS_FIGURES, JOINS_LETTERS = ".,:/-'_·٫٬", "_.·"
GROUP = re.compile(r" \d{3}(?!\d)")
GROUP_BEFORE = re.compile(r"(?<!\d)\d{1,3} ?$")
OPERATION = re.compile(r" ?(\D) ?\d")
RAISED = re.compile(r"<su[bp]\b|\*{1,2}\d|\^")
TIMES_BEFORE = re.compile(r"\d\*{1,2}$")


class Folded(NamedTuple):
    """A text in the form that is compared, and where in the source each of its characters came from."""

    text: str
    places: tuple[int, ...]


def find_verbatim(quote: str, text: str) -> str | None:
    """The words of `text` that `quote` repeats, as the text has them but for spacing; None where it does not.

    Where the quote repeats them only without Markdown's marks, so are the words that are handed back.
    """
    # Controls may make a quote show other than it says; a copy has those of its text and no others.
    controls = "".join(dict.fromkeys(filter(_is_deceptive, quote)))
    quote, text = decoded(quote), decoded(text)
    shown = dict.fromkeys((text, _unmarked(text, code=False), _unmarked(text)))
    wanted = dict.fromkeys((quote, unmarked(quote)))  # what a quote has without backticks may be no mark
    return next((found for form in shown for words in wanted if (found := _find(words, form, controls))), None)


_unmarked = lru_cache(maxsize=256)(unmarked)


def _find(quote: str, text: str, controls: str) -> str | None:
    source = fold(text, controls)
    wanted = fold(quote, controls).text.strip()
    for form in _unwrapped(wanted):
        if not has_substance(form, source.text):
            continue
        for start in _places(form, source, text):
            end = _word_end(source, text, start + len(form))
            if not _is_inside_word(source, text, end):
                return " ".join(text[source.places[start] : source.places[end]].split())
    return None


def _places(form: str, source: Folded, raw: str) -> Iterator[int]:
    """Where the form begins and no word or number is cut; no place is looked at twice."""
    start = source.text.find(form)
    for _ in range(MOST_PLACES):
        if start < 0:
            return
        if not _is_inside_word(source, raw, start):
            yield start
        start += 1
        while _is_inside_word(source, raw, start):
            start += 1
        start = source.text.find(form, start)


def _unwrapped(quote: str) -> Iterable[str]:
    """The quote, and what is left of it where a model has set it in quotation marks of its own."""
    inner = quote[1:-1].strip() if quote[:1] == "'" and quote[-1:] in ("'", '"') else quote  # after a digit as it is
    return dict.fromkeys((quote, inner, quote.strip("' ")))


def has_substance(quote: str, text: str) -> bool:
    """Enough letters and digits to prove something, or all that the text says."""
    letters = sum(2 if _is_wide(c) else 1 for c in quote if c.isalnum())
    return letters >= MIN_LETTERS or (letters > 0 and quote == text.strip())


def count_words(text: str) -> int:
    """Words, of which two letters make one where they are written without spaces."""
    return sum(max(1, sum(map(_is_wide, word)) // 2) for word in text.split())


@lru_cache(maxsize=2048)
def fold(text: str, kept: str = "") -> Folded:
    """White space to single spaces, invisible characters but `kept` away, marks and variants to one form; places end
    with the source's length."""
    folded: list[str] = []
    places: list[int] = []
    dropped = _within_guillemets(text)
    for start, end in pairwise([*_cluster_starts(text), len(text)]):
        form = _form(text[start:end], kept)
        if (form == " " and folded[-1:] == [" "]) or (dropped and start in dropped):
            continue
        if form == '"' and not (folded and folded[-1].isdigit()):  # 5" is not 5'
            form = "'"
        folded.extend(form)
        places.extend([start] * len(form))
    return Folded("".join(folded), (*places, len(text)))


def _within_guillemets(text: str) -> set[int]:
    """Places of the spaces that belong to the marks, not to the words."""
    if not any(mark in text for mark in "«»‹›"):
        return set()
    return {place for spaces in WITHIN_GUILLEMETS.finditer(text) for place in range(*spaces.span())}


def _cluster_starts(text: str) -> Iterator[int]:
    """Where a character begins that is no combining mark of the one before it."""
    if text.isascii():
        yield from range(len(text))
        return
    marks = 0
    for place, character in enumerate(text):
        if place and marks < MOST_MARKS and unicodedata.combining(character):
            marks += 1
        else:
            marks = 0
            yield place


@lru_cache(maxsize=4096)
def _form(cluster: str, kept: str) -> str:
    return unicodedata.normalize("NFC", "".join(_plain(c, kept) for c in cluster))


def _plain(character: str, kept: str) -> str:
    if character.isspace():
        return " "
    if character in SAME:
        return SAME[character]
    if character in VARIATION_SELECTORS or unicodedata.category(character) == "Cf":
        return character if character in kept else ""
    tag = unicodedata.decomposition(character).partition(" ")[0]
    return unicodedata.normalize("NFKC" if tag in SAME_MEANING else "NFC", character)


def _is_deceptive(character: str) -> bool:
    """A control, such as of direction, or a character that is not assigned: it may show other than what it says."""
    return (
        unicodedata.category(character)[0] == "C" and character not in INVISIBLE and not character.isspace()
    )  # Cc, Cf, Cs, Co, Cn


def _word_end(source: Folded, raw: str, place: int) -> int:
    """Where a word ends whose last letters were cut off, as by a limit on length: the reader sees all of it."""
    last = min(len(source.text), place + MOST_LETTERS)
    while place < last and source.text[place - 1].isalpha() and _is_inside_word(source, raw, place):
        place += 1
    return place


def _is_inside_word(source: Folded, raw: str, place: int) -> bool:
    """Whether a cut at `place` parts a word or a figure: un|likely, non-|toxic, 3|.5, -|5, 1| 000, 5| %."""
    text = source.text
    if place <= 0 or place >= len(text):
        return False
    before, after = text[place - 1], text[place]
    if unicodedata.combining(after) or (before.isalnum() and after.isalnum()):
        return not (_is_wide(before) or _is_wide(after)) or parts_figure(text, place)
    if after.isdigit() and _is_figure_before(source, raw, place):
        return True
    if before.isdigit() and _is_figure_after(text, place):
        return True
    return _is_joined(source, raw, place - 1) or _is_joined(source, raw, place) or parts_figure(text, place)


def _is_figure_before(source: Folded, raw: str, place: int) -> bool:
    """Whether what stands before a digit is of the same figure: a sign, a currency, a power, thousands."""
    before = source.text[max(0, place - 5) : place]
    if before.endswith(" "):
        if GROUP.match(source.text, place - 1) and GROUP_BEFORE.search(before):
            return True
        return len(before) > 1 and _is_sign(before[-2])
    if before.endswith("-"):
        return not _is_long_dash(raw[source.places[place - 1]])
    return before.endswith((".", "^", "^{", "_{")) or bool(TIMES_BEFORE.search(before)) or _is_sign(before[-1])


def _is_figure_after(text: str, place: int) -> bool:
    """Whether what stands after a digit is of the same figure: a power, an operation, thousands."""
    if RAISED.match(text, place):
        return True
    if GROUP.match(text, place):
        return bool(GROUP_BEFORE.search(text[max(0, place - 4) : place]))
    operation = OPERATION.match(text, place)
    return operation is not None and _is_sign(operation[1])


def _is_sign(character: str) -> bool:
    """Of currency or mathematics, but for what parts rather than binds: equals, bars, arrows."""
    return unicodedata.category(character) in SIGNS and character not in "=|" and not "←" <= character <= "⇿"


def _is_joined(source: Folded, raw: str, place: int) -> bool:
    """Whether the character there joins letters or digits on both sides into one word."""
    text, character = source.text, source.text[place]
    if not 0 < place < len(text) - 1 or not (text[place - 1].isalnum() and text[place + 1].isalnum()):
        return False
    if text[place - 1].isdigit() and text[place + 1].isdigit():
        return character in JOINS_FIGURES
    if _is_wide(text[place - 1]) or _is_wide(text[place + 1]):
        return False
    own = raw[source.places[place]]
    if character == "'":
        return own in APOSTROPHES
    return character in JOINS_LETTERS or (unicodedata.category(character) == "Pd" and not _is_long_dash(own))


def _is_long_dash(character: str) -> bool:
    """One that parts clauses, not a minus or a hyphen."""
    return character in "—―"


def _is_wide(character: str) -> bool:
    """Of a script that is written without spaces."""
    return unicodedata.east_asian_width(character) in "WF" or bool(WITHOUT_SPACES.match(character))

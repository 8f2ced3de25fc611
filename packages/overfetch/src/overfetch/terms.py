"""Texts spelt out for the BM25 tokenizer, which cuts at everything but letters and digits, stems and drops stop words.

One Unicode form; Latin letters without accents, as many people type them; identifiers whole and in parts; scripts
without spaces as overlapping pairs of characters.
"""

import re
import unicodedata
from itertools import pairwise

from overfetch.filters import composed
from overfetch.spelling import without_accents

# Han, kana, bopomofo, Hangul (whose words carry their particles), Thai, Lao, Tibetan, Burmese, Khmer.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u318f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U000323af]+"
)
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
IDENTIFIER = re.compile(r"[^\W_]+(?:[-_.]+[^\W_]+)*")
HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+")
# Those that Unicode does not take apart, as Lucene's ASCIIFoldingFilter writes them.
WHOLE = {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ł": "l", "ħ": "h", "ı": "i"}
# Latin letters beyond ASCII, and marks that no letter has taken up: the tokenizer would cut there.
ACCENTED = map(chr, (*range(0x00C0, 0x0250), *range(0x0300, 0x0370), *range(0x1E00, 0x1F00)))
PLAIN = str.maketrans(
    {letter: without_accents(letter) for letter in ACCENTED}
    | WHOLE
    | {one.upper(): other.upper() for one, other in WHOLE.items() if one != "ı"}
)
BETWEEN_DIGITS = "\u02bc"  # a letter that no number has: 1.5 is not 15


def spell_out(text: str, *, passage: bool, plain: bool = True) -> str:
    """A passage also names each Han character, so that a query of one finds it; `plain` is without accents.

    >>> spell_out("the parseHtml of user_id, naïve Łódź", passage=False)
    'the parsehtml parse html of user_id userid, naive lodz'
    """
    text = composed("NFKC", text)
    text = text.translate(PLAIN) if plain else text
    text = IDENTIFIER.sub(lambda found: _in_parts(found[0]), text)
    folded = composed("NFKC", text.casefold()).replace("i\u0307", "i")
    return UNSPACED.sub(lambda run: f" {_pairs(run[0], passage)} ", folded)


def _in_parts(word: str) -> str:
    """The word, and after it what the tokenizer will not find in it: the whole without its signs, and its humps."""
    if word.isalpha() and (word.islower() or word.istitle()):
        return word
    parts = re.split(r"[-_.]+", word)
    return " ".join([word, *_whole(parts), *(hump for part in parts for hump in _humps(part))])


def _whole(parts: list[str]) -> list[str]:
    if len(parts) == 1:
        return []
    numbered = any(left[-1].isdigit() and right[0].isdigit() for left, right in pairwise(parts))
    return [(BETWEEN_DIGITS if numbered else "").join(parts)]


def _humps(part: str) -> list[str]:
    """Those that say something: `A002` and `H100` stay whole."""
    humps = HUMPS.findall(part)
    if len(humps) == 1 or not any(len(hump) > 1 and hump.isalpha() for hump in humps):
        return []
    return [hump for hump in humps if len(hump) > 1]


def _pairs(run: str, passage: bool) -> str:
    """Without the marks above and below letters, at which the tokenizer would cut."""
    letters = [c for c in run if unicodedata.category(c)[0] != "M"] or [run]
    pairs = [a + b for a, b in pairwise(letters)] or letters
    return " ".join([*pairs, *(HAN.findall(run) if passage and len(letters) > 1 else ())])

"""Questions that nobody expects: words of many sites in any order, signs, scripts, and texts as long as allowed."""

import random
import string
from collections.abc import Iterator

from overfetch.requests import LONGEST_QUERY

WORDS = (
    "the of q x $T a.b --x C++ 12 Death XIII moon in Scorpio aapl $ENJ spring 2022 around 10 March 2023 not , : ? "
    "\u200b é 汉字 eip 1559 before last q3 over 100 million vs error uv.lock @ # % () [] reversed my"
)
ODD = ("q", "the", "?", "  x ", "the of", "-", "$", "\n\t x", "a", "x", "(", "́", "汉", "$A", "1,")
REPEATED = ("a", "x ", "( ", "XIII ", "$A ", "1, ")


def odd_questions() -> Iterator[str]:
    """The same ones each time, none of them blank."""
    draw, words = random.Random(7), WORDS.split(" ")
    yield from ODD
    yield from (" ".join(draw.choices(words, k=draw.randint(1, 9))) for _ in range(600))
    signs = ("".join(draw.choices(string.printable, k=draw.randint(1, 30))) for _ in range(300))
    yield from filter(str.strip, signs)
    yield from ((unit * LONGEST_QUERY)[:LONGEST_QUERY] for unit in REPEATED)

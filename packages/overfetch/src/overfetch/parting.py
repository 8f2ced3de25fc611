"""What a question leaves out, by a site's own pattern: `unwanted` has the one that countries and names need."""

import re
from collections.abc import Callable

LOOKED_AT = 1_000  # characters of a question


def parted(question: str, pattern: str, is_left_out: Callable[[str], bool]) -> tuple[str, str]:
    """What is asked for, and in small letters what is left out of it: `outright`, or what `is_left_out` knows.

    The pattern has groups: of what matches whole, `outright` where it is always left out, any other has its words.

    >>> pattern = r",? (?:(?P<outright>except)|without) (?P<what>[^,]+)"
    >>> parted("hacks except Ronin, without loans", pattern, lambda what: "loan" in what)
    ('hacks', ' loans ronin')
    >>> parted("a call without checks", pattern, lambda what: "loan" in what)
    ('a call without checks', '')
    """
    wanted, left_out = question.strip(), ""
    for found in reversed([*re.finditer(pattern, wanted[:LOOKED_AT])]):
        groups = found.groupdict()
        outright = groups.pop("outright")
        what = next(filter(None, groups.values())).lower()
        if outright or is_left_out(what):
            wanted, left_out = wanted[: found.start()] + wanted[found.end() :], f"{left_out} {what}"
    return (wanted.strip(" ,;"), left_out) if re.search(r"\w", wanted) else (question, left_out)

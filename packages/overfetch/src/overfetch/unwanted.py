"""What a question leaves out: `not in Canada`, `without banks`. Both stages would find just that."""

import re
from collections.abc import Callable

LOOKED_AT = 1_000  # characters of a question
STRONG = r"(?:without|except(?: for)?|excluding|other than|besides|(?:apart|aside) from)[\s-]"
INSIDE = r"[^,;:.?!]"
NEGATED = re.compile(
    rf"(?P<comma>[,;] ?)?(?<!\w)(?:{STRONG}(?P<named>(?:(?! (?:but|in|who|what|which|are) ){INSIDE}){{2,60}})"
    rf"|(?:but no|not?|non|outside|ex)[\s-](?P<what>(?:(?! (?:but|who|what|which|are) ){INSIDE}){{2,60}}))",
    re.IGNORECASE,
)


def without_unwanted(question: str, is_unwanted: Callable[[str], bool]) -> tuple[str, list[str]]:
    """What is asked for, and what is left out of it: what follows a comma or `without`, or what `is_unwanted` knows.

    >>> without_unwanted("gold miners not in Canada", lambda what: "Canada" in what)
    ('gold miners', ['in Canada'])
    >>> without_unwanted("gold miners not in Canada but in Australia", lambda what: "Canada" in what)
    ('gold miners but in Australia', ['in Canada'])
    >>> without_unwanted("besides Apple who makes phones", lambda what: False)
    ('who makes phones', ['Apple'])
    >>> without_unwanted("ev makers besides Tesla in Europe", lambda what: False)
    ('ev makers in Europe', ['Tesla'])
    """
    wanted, unwanted = question, list[str]()
    for found in NEGATED.finditer(question[:LOOKED_AT]):
        what = found["named"] or found["what"]
        if found["comma"] or found["named"] or is_unwanted(what):
            wanted = wanted.replace(found[0], "")
            unwanted.append(what)
    wanted = re.sub(" {2,}", " ", wanted)
    return (wanted.strip(), unwanted) if re.search(r"\w", wanted) else (question, [])

"""What a question leaves out: `not in Canada`, `without banks`. Both stages would find just that."""

import re
from collections.abc import Callable

LOOKED_AT = 1_000  # characters of a question
NEGATED = re.compile(
    r"(?P<comma>[,;] ?)?(?<!\w)(?:(?P<strong>without|except(?: for)?|excluding|other than|besides|(?:apart|aside) from)"
    r"|but no|not?|non|outside|ex)[\s-](?P<what>(?:(?! (?:but|who|what|which|are) )[^,;:.?!]){2,60})",
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
    """
    wanted, unwanted = question, list[str]()
    for found in NEGATED.finditer(question[:LOOKED_AT]):
        if found["comma"] or found["strong"] or is_unwanted(found["what"]):
            wanted = wanted.replace(found[0], "")
            unwanted.append(found["what"])
    wanted = re.sub(" {2,}", " ", wanted)
    return (wanted.strip(), unwanted) if wanted.strip() else (question, [])

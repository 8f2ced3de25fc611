"""What a question leaves out: `not in Canada`, `without banks`. Both stages would find just that."""

import re
from collections.abc import Callable

LOOKED_AT = 1_000  # characters of a question
STRONG = r"(?:without|except(?: for)?|excluding|other than|besides|(?:apart|aside) from)[\s-]"
INSIDE = r"[^,;:.?!]"
NEGATED = re.compile(
    rf"(?P<comma>[,;] ?)?(?<!\w)(?:{STRONG}(?P<named>(?:(?! (?:but|in|who|what|which|are) ){INSIDE}){{2,60}})"
    rf"|(?P<but>but )?(?:not?|outside)[\s-](?!only|just|all|merely|even)"
    rf"(?P<what>(?:(?! (?:but|who|what|which|are) ){INSIDE}){{2,60}})"
    r"|(?:non|ex)[\s-](?P<two>(?P<one>[^\W_]+)(?:[ -][^\W_]+)?))",
    re.IGNORECASE,
)
LEFT_OVER = re.compile(r"\s+(?:with|that|and|or|of|but)$")


def without_unwanted(question: str, is_unwanted: Callable[[str], bool]) -> tuple[str, list[str]]:
    """What is asked for, and what is left out of it: what follows a comma or `without`, or what `is_unwanted` knows.

    Also a name in capitals after `but not`; nothing after `not only`. Where nothing is left, nothing is left out.

    >>> without_unwanted("gold miners not in Canada", lambda what: "Canada" in what)
    ('gold miners', ['in Canada'])
    >>> without_unwanted("gold miners not in Canada but in Australia", lambda what: "Canada" in what)
    ('gold miners but in Australia', ['in Canada'])
    >>> without_unwanted("German carmakers but not BMW", lambda what: False)
    ('German carmakers', ['BMW'])
    >>> without_unwanted("Asia ex Japan insurers", lambda what: "Japan" in what)
    ('Asia insurers', ['Japan'])
    >>> without_unwanted("besides Apple who makes phones", lambda what: False)
    ('who makes phones', ['Apple'])
    >>> without_unwanted("ev makers besides Tesla in Europe", lambda what: False)
    ('ev makers in Europe', ['Tesla'])
    """
    wanted, unwanted = question, list[str]()
    for found in reversed([*NEGATED.finditer(question[:LOOKED_AT])]):
        group = (
            "named" if found["named"] else "what" if found["what"] else "one" if is_unwanted(found["one"]) else "two"
        )
        if _is_left_out(found, found[group]) or is_unwanted(found[group]):
            wanted = wanted[: found.start()] + wanted[found.end(group) :]
            unwanted.insert(0, found[group])
    wanted = LEFT_OVER.sub("", re.sub(r"\s{2,}", " ", wanted).strip())
    return (wanted, unwanted) if re.search(r"\w", wanted) else (question, [])


def _is_left_out(found: re.Match[str], what: str) -> bool:
    """Whatever it is, by how it is said."""
    return bool(found["named"] or (found["comma"] and found["what"]) or (found["but"] and what[0].isupper()))

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

    def part(found: re.Match[str]) -> tuple[int, str] | None:
        group = (
            "named" if found["named"] else "what" if found["what"] else "one" if is_unwanted(found["one"]) else "two"
        )
        is_left_out = _is_left_out(found, found[group]) or is_unwanted(found[group])
        return (found.end(group), found[group]) if is_left_out else None

    wanted, unwanted = _cut(question, NEGATED, part)
    wanted = LEFT_OVER.sub("", re.sub(r"\s{2,}", " ", wanted).strip())
    return (wanted, unwanted[::-1]) if re.search(r"\w", wanted) else (question, [])


def parted(question: str, pattern: str, is_left_out: Callable[[str], bool]) -> tuple[str, str]:
    """As `without_unwanted`, by a site's own pattern; what is left out in small letters, also where nothing is left.

    The pattern has groups: of what matches whole, `outright` where it is always left out, any other has its words.

    >>> pattern = r",? (?:(?P<outright>except)|without) (?P<what>[^,]+)"
    >>> parted("hacks except Ronin, without loans", pattern, lambda what: "loan" in what)
    ('hacks', ' loans ronin')
    >>> parted("a call without checks", pattern, lambda what: "loan" in what)
    ('a call without checks', '')
    """

    def part(found: re.Match[str]) -> tuple[int, str] | None:
        groups = found.groupdict()
        outright = groups.pop("outright")
        what = next(filter(None, groups.values())).lower()
        return (found.end(), what) if outright or is_left_out(what) else None

    wanted, parts = _cut(question.strip(), pattern, part)
    left_out = "".join(f" {what}" for what in parts)
    return (wanted.strip(" ,;"), left_out) if re.search(r"\w", wanted) else (question, left_out)


def _cut(
    text: str, pattern: str | re.Pattern[str], part: Callable[[re.Match[str]], tuple[int, str] | None]
) -> tuple[str, list[str]]:
    """The text without each `part` that is left out, told by where it ends and what it is; these, last first."""
    parts = list[str]()
    for found in reversed([*re.finditer(pattern, text[:LOOKED_AT])]):  # from the right: places stay as they were found
        if left_out := part(found):
            text = text[: found.start()] + text[left_out[0] :]
            parts.append(left_out[1])
    return text, parts


def _is_left_out(found: re.Match[str], what: str) -> bool:
    """Whatever it is, by how it is said."""
    return bool(found["named"] or (found["comma"] and found["what"]) or (found["but"] and what[0].isupper()))

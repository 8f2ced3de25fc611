"""Names as they are compared: what developers call things in code, and words that are written apart or together."""

import re
from collections.abc import Iterator

from overfetch import Vocabulary

PIECE = re.compile(r"[^\W_]+[+#]*|(?<=\d)\.(?=\d)")
# Flags, dotted and snake_case names, CamelCase, file names, models, versions: with the signs that join their parts.
TOKEN = re.compile(r"(?<![\w.-])-{0,2}\w+(?:(?:\.|::|-)\w+)*(?:\+\+|#(?!\w))?")
CAMEL = re.compile(r"[a-z0-9][A-Z]|[A-Z]{2}[a-z](?!\b)|[A-Z][A-Z0-9]+[a-z]{2}")
SEPARATORS = re.compile(r"(?<!\d)\.|\.(?!\d)|::")
LONGEST = 80  # characters of a name


def squash(name: str) -> str:
    """One form of a name however its parts are joined.

    >>> squash("Sage Daily"), squash("--max-batch-tokens"), squash("MAX_BATCH_TOKENS"), squash("C++"), squash("3.12.1")
    ('sagedaily', 'maxbatchtokens', 'maxbatchtokens', 'c++', '3.12.1')
    """
    return "".join(PIECE.findall(name.casefold()))


def singular(name: str) -> str:
    """`timeouts` and `timeout` are one subject; `class` is no plural.

    >>> singular("timeouts"), singular("class"), singular("dspy")
    ('timeout', 'class', 'dspy')
    """
    return name[:-1] if len(name) > 3 and name.endswith("s") and not name.endswith(("ss", "us", "is")) else name


def key(name: str) -> str:
    """What two ways to write a name have in common."""
    return singular(squash(name))


KNOWN = Vocabulary("builddaily", key)  # its lists as names are compared


def tokens(text: str) -> Iterator[str]:
    """Words and identifiers, each whole."""
    return (found[0] for found in TOKEN.finditer(text) if len(found[0]) <= LONGEST)


def is_identifier(token: str) -> bool:
    """Whether only code writes so; a word with a hyphen, a number or an acronym in the plural may be prose.

    >>> [t for t in ("CrossEncoder.predict", "--locked", "user_id", "HFOnnx", "well-known", "APIs", "e.g") if
    ...  is_identifier(t)]
    ['CrossEncoder.predict', '--locked', 'user_id', 'HFOnnx']
    """
    if token.startswith("--"):
        return len(token) > 3
    if not any(map(str.isalpha, token)):
        return False
    parts = SEPARATORS.split(token)
    return "_" in token.strip("_") or bool(CAMEL.search(token)) or (len(parts) > 1 and min(map(len, parts)) > 1)


def is_named(token: str) -> bool:
    """Also what has figures or hyphens: versions, models, packages, compounds."""
    return is_identifier(token) or "-" in token.strip("-") or (len(token) > 1 and any(map(str.isdigit, token)))


def forms(identifier: str) -> list[str]:
    """The whole name, then what it ends with, shorter each time.

    >>> forms("dspy.streaming.StreamListener")
    ['dspystreamingstreamlistener', 'streamingstreamlistener', 'streamlistener']
    """
    parts = parts_of(identifier)
    return ["".join(parts[start:]) for start in range(len(parts))]


def parts_of(identifier: str) -> list[str]:
    return list(filter(None, map(squash, SEPARATORS.split(identifier))))

"""What is not to be shown: keys and passwords in messages, control bytes on a terminal. The one place for both."""

import base64
import os
import re
from itertools import pairwise
from urllib.parse import parse_qsl, unquote, urlsplit

MARK = "***"
LEAST = 4  # characters: shorter secrets stand in ordinary words too
LEAST_OF_OTHERS = 8  # of variables that are not Overfetch's, which may be called TOKEN and mean something else

NAMED_SECRET = r"(?:key|token|secret|passw(?:or)?d|pwd|auth|credential|signature|sig)"
USERINFO = re.compile(r"(?<=://)[^\s/?#]*@")
BREAKS = re.compile(r"[\s/'\"]")  # at which no user name or password goes on
WORD = re.compile(r"^\w*")
IN_QUERY, VALUE = re.compile(r"(?<=[?&;])([\w.-]+)="), re.compile(r"[^\s&#;'\"]+")
SECRET_NAME = re.compile(NAMED_SECRET, re.IGNORECASE)
IN_HEADER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
# As providers make them: a server may repeat a key that nobody here was told of, such as that of a proxy behind it.
OF_PROVIDER = re.compile(
    r"(?<![\w-])(?:(?:[rsp]k|gsk|hf|ghp|xai|pplx|nvapi)[-_](?=[a-z_-]*\d)[\w-]{8,}|AIza[\w-]{30,})", re.I
)
VARIABLE = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD)$")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
NOT_ESCAPED_BY_JSON = re.compile(r"[\x7f-\x9f\ud800-\udfff]")

_known: set[str] = set()


def keep_secret(key: str | None = None, address: str | None = None) -> None:
    """From now on the key, and what an address holds of the kind, is in no message."""
    found = ([key] if key else []) + (_secrets_in(address) if address else [])
    _known.update(secret for secret in found if len(secret) >= LEAST)


def redacted(text: str) -> str:
    """Without known secrets, user names and passwords of addresses, and keys in their queries.

    >>> redacted("no answer from https://me:pass@host/v1?api_key=abc&top=3")
    'no answer from https://***@host/v1?api_key=***&top=3'
    """
    text = _without_keys(_without_passwords(USERINFO.sub(f"{MARK}@", text)))
    text = OF_PROVIDER.sub(MARK, IN_HEADER.sub(rf"\1 {MARK}", text))
    for secret in sorted(_known | _of_others(), key=len, reverse=True):
        text = text.replace(secret, MARK)
    return text


def _without_passwords(text: str) -> str:
    """Of `user:password@host` outside of an address. Not by an expression: one would try each letter as a beginning."""
    pieces = text.split("@")
    shown = [
        _without_password(piece) if after[:1].isalnum() or after[:1] == "_" else piece
        for piece, after in pairwise(pieces)
    ]
    return "@".join([*shown, pieces[-1]])


def _without_password(piece: str) -> str:
    """A user's name does not begin behind a slash, as in `image/name:tag@sha256`, nor within a word."""
    tail = BREAKS.split(piece)[-1]
    if piece.removesuffix(tail).endswith("/"):
        tail = WORD.sub("", tail, count=1)[1:]
    tail = tail.lstrip(":")
    user, _, password = tail.partition(":")
    return piece.removesuffix(tail) + MARK if user and password else piece


def _without_keys(text: str) -> str:
    """Of queries, also of one that is a value of another."""
    shown, done = list[str](), 0
    for found in IN_QUERY.finditer(text):
        is_secret = found.start() >= done and SECRET_NAME.search(found[1])
        if is_secret and (value := VALUE.match(text, found.end())):
            shown += [text[done : found.end()], MARK]
            done = value.end()
    return "".join([*shown, text[done:]])


def visible(text: str) -> str:
    """Control bytes spelt out, so that a foreign text cannot steer the terminal that shows it.

    >>> visible("\\x1b[2Jgone")
    '\\\\x1b[2Jgone'
    """
    return CONTROL.sub(_spelt, text.replace("\r\n", "\n"))


def visible_json(text: str) -> str:
    """The same of a JSON document, which spells out all but a few of them itself."""
    return NOT_ESCAPED_BY_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _spelt(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _secrets_in(address: str) -> list[str]:
    try:
        parts = urlsplit(address)
    except ValueError:  # no address; nothing will be sent there
        return []
    userinfo = parts.netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    plain = f"{unquote(user)}:{unquote(password)}"
    as_header = [base64.b64encode(plain.encode()).decode()] if userinfo else []
    in_query = [value for name, value in parse_qsl(parts.query) if SECRET_NAME.search(name)]
    return [password or user, unquote(password or user), *as_header, *in_query]


def _of_others() -> set[str]:
    """Keys that libraries read themselves, such as OPENAI_API_KEY."""
    return {value for name, value in os.environ.items() if VARIABLE.search(name) and len(value) >= LEAST_OF_OTHERS}

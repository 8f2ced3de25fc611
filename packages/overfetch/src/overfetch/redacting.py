"""What is not to be shown: keys and passwords in messages, control bytes on a terminal. The one place for both."""

import base64
import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit

MARK = "***"
LEAST = 4  # characters: shorter secrets stand in ordinary words too
LEAST_OF_OTHERS = 8  # of variables that are not Overfetch's, which may be called TOKEN and mean something else

NAMED_SECRET = r"(?:key|token|secret|passw(?:or)?d|pwd|auth|credential|signature|sig)"
USERINFO = re.compile(r"(?<=://)[^\s/?#]*@|(?<![\w/])[^\s/:@'\"]+:[^\s/@'\"]+@(?=\w)")
IN_QUERY = re.compile(rf"(?<=[?&;])([\w.-]*{NAMED_SECRET}[\w.-]*)=[^\s&#;'\"]+", re.IGNORECASE)
IN_HEADER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
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
    text = USERINFO.sub(f"{MARK}@", text)
    text = IN_QUERY.sub(rf"\1={MARK}", text)
    text = IN_HEADER.sub(rf"\1 {MARK}", text)
    for secret in sorted(_known | _of_others(), key=len, reverse=True):
        text = text.replace(secret, MARK)
    return text


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
    in_query = [value for name, value in parse_qsl(parts.query) if re.search(NAMED_SECRET, name, re.IGNORECASE)]
    return [password or user, unquote(password or user), *as_header, *in_query]


def _of_others() -> set[str]:
    """Keys that libraries read themselves, such as OPENAI_API_KEY."""
    return {value for name, value in os.environ.items() if VARIABLE.search(name) and len(value) >= LEAST_OF_OTHERS}

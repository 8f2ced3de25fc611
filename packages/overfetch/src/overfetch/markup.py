"""What Markdown's marks and HTML's entities say once they are shown: letters and figures stay what they were.

Every pattern is bounded, so that no text takes more time than its length allows.
"""

import html
import re

ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
# What these free is no mark, whatever it looks like: `__init__`.
LITERAL = re.compile(
    r"(?P<fenced>^[ \t]*(?P<fence>```+|~~~+)[^\n]*\n(?s:.*?)(?:^[ \t]*(?P=fence)|\Z))"
    r"|(?<!`)(?P<ticks>`{1,2})(?!`)(?P<code>[^`]{1,300})(?P=ticks)(?!`)"
    r"|\\(?P<escaped>[!-/:-@\[-`{-~])"
    r"|\0",  # stands for them meanwhile
    re.MULTILINE,
)
# Never within a word or a figure: 10**6 and 2*3*4 are no emphasis here.
MARKS = re.compile(
    r"(?<![\w*\\])(?P<star>\*{1,3})(?![\s*])(?P<starred>[^*]{1,300})(?<!\s)(?P=star)(?![\w*])"
    r"|(?<![\w\\])(?P<line>_{1,3})(?![\s_])(?P<lined>[^_]{1,300})(?<!\s)(?P=line)(?!\w)"
    r"|(?<!!)\[(?P<link>[^\[\]]{1,300})\]\([^()\s\0]{0,1000}(?: \"[^\"\0]{0,200}\")?\)"
)
LEFT = re.compile(r"\*\*|!\[|\]\(|</?[A-Za-z]|<!--|^\s*[*_](?=\w)|(?<=[^\W_])[*_]+\W*$")
ROUNDS = 2  # *one* within **another**


def decoded(text: str) -> str:
    """The text with its entities as the characters that they stand for.

    >>> decoded("R&amp;D")
    'R&D'
    """
    return ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text


def unmarked(text: str, code: bool = True) -> str:
    """The text without the marks of emphasis, links, escapes and, where so wanted, `code`.

    >>> unmarked("**Never** use `main`, [says Ann](https://example.org).")
    'Never use main, says Ann.'
    """
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found["escaped"] or (code and found["code"]) or found[0])
        return "\0"

    text = LITERAL.sub(keep, text)
    for _ in range(ROUNDS):
        text = MARKS.sub(lambda found: found["starred"] or found["lined"] or found["link"], text)
    literals = iter(kept)
    return re.sub("\0", lambda _: next(literals), text)


def has_marks(text: str) -> bool:
    """Whether marks are left that make no sense alone: half of an emphasis, a link or code, pictures, HTML."""
    return LEFT.search(text) is not None or text.count("`") % 2 == 1

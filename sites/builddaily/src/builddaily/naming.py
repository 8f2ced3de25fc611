"""What a page and each of its passages are found by: names, what they define, what they mention."""

import re
from collections.abc import Iterable
from itertools import chain

from builddaily.identifiers import KNOWN, LONGEST, forms, is_identifier, is_named, key, parts_of, singular, tokens
from overfetch import Document

MOST_WORDS = 10  # of a name
SUBTITLE = re.compile(r":\s|\s[-–—|]\s|,\s")
IN_BRACKETS = re.compile(r"\(([^()]{1,80})\)")
FILE = re.compile(r"\.(?:mdx?|rst|txt|html?)$", re.IGNORECASE)
# What an entry of a reference, a list or a table begins with, a definition in code, a directive of Sphinx or MkDocs.
DEFINED = re.compile(
    r"^[ \t]*(?:#{1,6}[ \t]|[-*+][ \t]|\||:::[ \t]|\.\.[ \t]auto\w{1,20}::[ \t]|(?:async[ \t])?def[ \t]|class[ \t])?"
    r"[ \t]*[`*]{0,3}(?P<name>-{0,2}[^\W\d][\w.-]{1,80})(?P<told>[`*]|[ \t]?[:(=]|[ \t][–—][ \t])?",
    re.MULTILINE,
)
WORD = re.compile(r"[^\W_]{2,}")
DECORATION = re.compile(r"\{[#.:\w][^{}]{0,200}\}|\]\[[^\[\]]{0,200}\]|[`*\[\]\\]")


def plain(heading: str) -> str:
    """A heading without its anchors, links and marks.

    >>> plain("Config.copy {#config-copy tag='method'}"), plain("The [`Model`][pkg.Model] class")
    ('Config.copy', 'The Model class')
    """
    return " ".join(DECORATION.sub(" ", heading).split()) or heading


def title_of(page: Document) -> str:
    """The title as people would say it, where it is a file's name."""
    title = plain(page.title)
    return re.sub(r"[-_]+", " ", FILE.sub("", title)) if FILE.search(title) else title


def product_of(page: Document) -> str | None:
    """The tool that a page is about, by the repository that it comes from."""
    return str(page.metadata.get("repo") or "").rpartition("/")[2] or None


def trail_of(page: Document) -> list[str]:
    """The folders of a page that say something, the nearest two.

    >>> path = "docs-website/docs/pipeline-components/rankers/metafieldranker.mdx"
    >>> trail_of(Document(id="1", title="MetaFieldRanker", text="", metadata={"path": path, "repo": "a/haystack"}))
    ['pipeline components', 'rankers']
    """
    said = {key(page.title), key(product_of(page) or "")}
    folders = str(page.metadata.get("path") or "").split("/")[:-1]
    telling = [f for f in folders if key(f) not in KNOWN.words("generic") | said and not f.startswith(".")]
    return [re.sub(r"[-_]+", " ", folder) for folder in telling[-2:]]


def products(page: Document) -> list[str]:
    """The product as it may be written in a question."""
    name = key(product_of(page) or "")
    return [name, *map(key, KNOWN.table("aliases").get(name, ()))] if name else []


def page_names(page: Document) -> list[str]:
    """What a page may be called, also with its product before it.

    >>> page_names(Document(id="event-hooks", title="event-hooks.md", text="", metadata={"repo": "encode/httpx"}))
    ['eventhook', 'httpxeventhook']
    """
    title = FILE.sub("", plain(page.title))
    path = FILE.sub("", str(page.metadata.get("path") or page.id)).split("/")
    stems = [part for part in path if key(part) not in KNOWN.words("generic")][-1:]
    inner = IN_BRACKETS.findall(title)
    titles = [title, SUBTITLE.split(title)[0], IN_BRACKETS.sub("", title), *inner, *stems]
    names = _names(chain.from_iterable(forms(t) if is_identifier(t) else [t] for t in titles))
    return list(dict.fromkeys([*names, *(singular(p + name) for p in products(page) for name in names)]))


def defined_names(headings: Iterable[str], text: str) -> list[str]:
    """What a passage is about: the headings above it, and what its lines begin with.

    >>> defined_names(["Limits"], "- `max_connections`, the number\\n- verify: bool\\n\\nProse here")
    ['limit', 'maxconnection', 'verify']
    """
    found = [name for heading in headings for name in [heading, *filter(is_identifier, tokens(heading))]]
    lines = (match for match in DEFINED.finditer(text) if match["told"] or is_named(match["name"]))
    begun = (name for match in lines for name in forms(match["name"].rstrip(".-")))
    return _names([*chain.from_iterable(forms(f) if is_identifier(f) else [f] for f in found), *begun])


def mentioned_names(page: Document, reading: str) -> list[str]:
    """Every word of a passage, identifiers whole and in parts, and its product."""
    names = chain.from_iterable({*forms(name), *parts_of(name), *WORD.findall(name)} for name in tokens(reading))
    return sorted({*products(page), *_names(names)} - KNOWN.words("stop"))


def _names(names: Iterable[str]) -> list[str]:
    short = (name for name in names if len(name) <= LONGEST and len(name.split()) <= MOST_WORDS)
    return list(dict.fromkeys(filter(None, map(key, short))))

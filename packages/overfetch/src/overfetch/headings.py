"""The headings of a Markdown text, and those of reStructuredText made Markdown's."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# A line of one sign as long as the title above it, which has no such line directly above it but its own overline.
UNDERLINED = re.compile(r"^(?:([=\-~^\"'`#*+.:_])\1+[ \t]*\n)?(\S.*)\n([=\-~^\"'`#*+.:_])\3{1,}[ \t]*$", re.MULTILINE)
DEEPEST = 6
LONGEST = 300  # characters of a heading


@cache
def block_parser(*, tables: bool = False) -> "MarkdownIt":
    """What stands within paragraphs is left alone: it is of no interest here, and would cost most.

    Made once: making it takes as long as parsing a page. Safe to share between threads.
    """
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table" if tables else []).disable("inline")


class Heading(NamedTuple):
    """Its first line, the line after it, its level and its text."""

    first: int
    after: int
    level: int
    text: str


def headings(markdown: str) -> Iterator[Heading]:
    """Every heading outside quotes and lists, with its markup; a longer one is a paragraph above a rule."""
    for token, inline in pairwise(block_parser().parse(markdown)):
        if token.type == "heading_open" and token.level == 0 and token.map and len(inline.content) <= LONGEST:
            first, after = token.map
            yield Heading(first, after, int(token.tag[1:]), " ".join(inline.content.split()))


def first_heading(markdown: str) -> str | None:
    """Without markup; None where there is none that says anything."""
    return next(filter(None, (_without_markup(heading.text) for heading in headings(markdown))), None)


def _without_markup(text: str) -> str:
    from markdown_it import MarkdownIt

    (inline,) = MarkdownIt("commonmark").parseInline(text)
    return "".join(child.content for child in inline.children or () if child.type in ("text", "code_inline")).strip()


def restructured_as_markdown(text: str) -> str:
    """With `#` for the underlined titles: which sign is which level is told by their order, and `~~~` opens no code.

    >>> restructured_as_markdown("Guide\\n=====\\n\\nStart\\n~~~~~\\nRun it.")
    '# Guide\\n\\n## Start\\nRun it.'
    """
    levels: dict[tuple[bool, str], int] = {}

    def as_heading(found: re.Match[str]) -> str:
        over, title, under = found.groups()
        underline = found[0].rpartition("\n")[2].strip()
        if len(underline) < len(title.strip()) or over not in (None, under):
            return found[0]
        level = levels.setdefault((over is not None, under), min(len(levels) + 1, DEEPEST))
        return f"{'#' * level} {title.strip()}"

    return UNDERLINED.sub(as_heading, text)

"""Clients are told of files by their names: in which folders of the server's disk they lie is nobody's business.

What a request itself wrote is told as it was written: a condition, or a text, may look like a path.
"""

import re

from overfetch import Answer, Retrieval
from overfetch.engine import AskEvent
from overfetch_serve.seen import current

# A lone backslash begins no folder, but what stands for a control character.
BEGINS = r"(?:(?<![\w:/.~])|(?<=\bfile:))(?:(?://(?=/)|~\w*|[A-Za-z]:)?/|(?:~\w*|[A-Za-z]:|\\)\\)"
# In quotation marks names may have spaces.
FOLDERS = re.compile(
    rf"(?<=['\":]){BEGINS}[^'\"\n]*[/\\](?=[^'\"\n/\\]+['\"])|{BEGINS}(?:[^/\\\s'\",]+[/\\])*(?=[^/\\\s])"
)


def without_folders(text: str) -> str:
    """
    >>> without_folders("/srv/pages/a.md:3: no title; see https://example.org/front-matter, or docs/pages.md")
    'a.md:3: no title; see https://example.org/front-matter, or docs/pages.md'
    >>> without_folders("cannot write '/data/service'")
    "cannot write 'service'"
    """
    return FOLDERS.sub(_unless_written, text)


def _unless_written(folder: re.Match[str]) -> str:
    seen = current.get()
    return folder[0] if seen is not None and seen.wrote(folder[0]) else ""


def as_served(retrieval: Retrieval) -> Retrieval:
    """Its reason without folders."""
    return retrieval.model_copy(update={"rerank_reason": _told(retrieval.rerank_reason)})


def event_as_served(event: AskEvent) -> AskEvent:
    """All its reasons without folders."""
    if isinstance(event, tuple):
        return tuple(map(as_served, event))
    if isinstance(event, Answer):
        retrievals = tuple(map(as_served, event.retrievals))
        return event.model_copy(update={"reason": _told(event.reason), "retrievals": retrievals})
    return event


def _told(reason: str | None) -> str | None:
    return reason and without_folders(reason)

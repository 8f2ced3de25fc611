"""Clients are told of files by their names: in which folders of the server's disk they lie is nobody's business."""

import re

FOLDERS = re.compile(r"(?<![\w:/.~])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\",]+[/\\])*(?=[^/\\\s])")


def without_folders(text: str) -> str:
    """
    >>> without_folders("/srv/pages/a.md:3: no title; see https://example.org/front-matter, or docs/pages.md")
    'a.md:3: no title; see https://example.org/front-matter, or docs/pages.md'
    >>> without_folders("cannot write '/data/service'")
    "cannot write 'service'"
    """
    return FOLDERS.sub("", text)

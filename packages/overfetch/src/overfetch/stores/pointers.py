"""The pointer of a collection: the file CURRENT, which alone tells what is published."""

import re
from pathlib import Path
from typing import NamedTuple

from overfetch.errors import StoreError
from overfetch.stores.copying import sync

NOTHING = "-"
NAME = re.compile(r"\d{6,18}", re.ASCII)
IDENTITY = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Pointer(NamedTuple):
    """What CURRENT says; `highest` is the greatest number ever published, `identity` the live generation's own."""

    live: str | None = None
    previous: str | None = None
    highest: int = 0
    identity: str | None = None


def read_pointer(path: Path) -> Pointer:
    """Nothing where there is no such file. Raises StoreError where it is no pointer."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Pointer()
    pointer = _parse(text.decode("utf-8", "replace").split())
    if pointer is None:
        raise StoreError(
            f"{path} is damaged: it says {text[:80]!r}, and not which generation is live. Build it anew: "
            "overfetch index SITE/COLLECTION --rebuild --source PATH"
        )
    return pointer


def write_pointer(path: Path, pointer: Pointer) -> None:
    """Published as a whole: readers see the old pointer or this one."""
    lines = (pointer.live, pointer.previous, f"{pointer.highest:06d}", pointer.identity)
    replace(path, "".join(f"{line or NOTHING}\n" for line in lines))


def replace(path: Path, text: str) -> None:
    """The old content or the new, whenever the machine stops."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def _parse(lines: list[str]) -> Pointer | None:
    """One line of schema 1, three of schema 2, or four."""
    if len(lines) not in (1, 3, 4):
        return None
    live, previous, highest, identity = [*lines, *(NOTHING, lines[0], NOTHING)[len(lines) - 1 :]]
    names = [live, highest, *([] if previous == NOTHING else [previous])]
    if not all(map(NAME.fullmatch, names)) or not (identity == NOTHING or IDENTITY.fullmatch(identity)):
        return None
    if max(map(int, names)) > int(highest):
        return None
    return Pointer(live, _known(previous), int(highest), _known(identity))


def _known(line: str) -> str | None:
    return None if line == NOTHING else line

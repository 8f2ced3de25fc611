"""The words of the field that this site knows: `vocabulary.toml`, read once, on first use."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from builddaily.identifiers import squash


class Vocabulary(NamedTuple):
    """Each as names are compared; `aliases` by the product's name."""

    generic: frozenset[str]
    asking: frozenset[str]
    stop: frozenset[str]
    brands: frozenset[str]
    aliases: dict[str, tuple[str, ...]]


@cache
def vocabulary() -> Vocabulary:
    read = tomllib.loads(files("builddaily").joinpath("vocabulary.toml").read_text(encoding="utf-8"))
    generic, asking, stop, brands = (frozenset(map(squash, read[k])) for k in ("generic", "asking", "stop", "brands"))
    aliases = {squash(name): tuple(map(squash, others)) for name, others in read["aliases"].items()}
    return Vocabulary(generic, asking, stop, brands, aliases)

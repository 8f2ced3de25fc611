"""The words of the field that this site knows: `vocabulary.toml`, read once, on first use."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple

from builddaily.identifiers import key, squash


class Vocabulary(NamedTuple):
    """Each as names are compared, but for `tools`: products as they are written, in one word.

    `aliases` are by the product's name, `elsewhere` has by words how they are asked for.
    """

    generic: frozenset[str]
    asking: frozenset[str]
    stop: frozenset[str]
    brands: frozenset[str]
    products: frozenset[str]
    tools: frozenset[str]
    commands: frozenset[str]
    verbs: frozenset[str]
    groups: frozenset[str]
    elsewhere: dict[str, tuple[str, ...]]
    aliases: dict[str, tuple[str, ...]]


@cache
def vocabulary() -> Vocabulary:
    import tomllib

    read = tomllib.loads(files("builddaily").joinpath("vocabulary.toml").read_text(encoding="utf-8"))
    words = {name: frozenset(map(key, names)) for name, names in read.items() if isinstance(names, list)}
    aliases = {key(name): tuple(map(key, others)) for name, others in read["aliases"].items()}
    elsewhere = {words: tuple(asked) for words, asked in read["elsewhere"].items()}
    tools = frozenset(map(squash, read["products"]))
    return Vocabulary(**words, tools=tools, aliases=aliases, elsewhere=elsewhere)

"""Front matter: the block of YAML that a Markdown page may begin with, every value as it is written.

YAML 1.1 would read `id: 0123` as 83, `3.10` as 3.1 and `NO` as false. Here a plain `true`, `false`, `null`, `~` or
nothing means that, and everything else is text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from overfetch.errors import CorpusError

if TYPE_CHECKING:
    from yaml import Node, ScalarNode, YAMLError

# A rule above an empty line is a rule; only what follows at once is front matter.
OPENING = re.compile(r"\s*-{3,}[ \t]*\n(?![ \t]*\n)")
CLOSING = re.compile(r"^(-{3,}|\.\.\.)[ \t]*$\n?", re.MULTILINE)
PLAIN: Mapping[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
MOST_NESTED = 1_000  # signs that may nest something
MOST_VALUES = 10_000  # an alias of aliases of aliases has billions


class Page(NamedTuple):
    """A page's fields, None where it has no front matter, and the text below them."""

    fields: dict[str, Any] | None
    text: str


def split_page(path: object, page: str) -> Page:
    """Raises CorpusError naming file and line."""
    if page.startswith("+++"):
        raise CorpusError(f"{path}:1: front matter in TOML is not read; write it as YAML between two lines of '---'")
    opening = OPENING.match(page)
    if opening is None:
        return Page(None, page)
    closing = CLOSING.search(page, opening.end())
    if closing is None:
        raise CorpusError(f"{path}:1: no title: the front matter is never closed by a line of '---'")
    fields = _parse(path, page[opening.end() : closing.start()], opening[0].count("\n") + 1)
    return Page(fields, page[closing.end() :].strip())


def _parse(path: object, block: str, first_line: int) -> dict[str, Any]:
    import yaml

    try:
        # The loader in C is six times as fast, but ends the process where something is nested deeply.
        nesting = sum(map(block.count, "[{-:?"))
        loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader) if nesting < MOST_NESTED else yaml.BaseLoader
        node = yaml.compose(block, Loader=loader)
        fields = _Values(path, first_line).of(node) if node else {}
    except yaml.YAMLError as error:
        raise _invalid(path, first_line, error) from error
    except RecursionError as error:
        raise CorpusError(f"{path}:1: front matter is nested too deeply to be read") from error
    if not isinstance(fields, dict):
        raise CorpusError(f"{path}:1: no title: the front matter is a {type(fields).__name__}, expected 'key: value'")
    return fields


def _invalid(path: object, first_line: int, error: "YAMLError") -> CorpusError:
    """Its own marks count from 0 where the block begins, so its text is told without them."""
    said = vars(error)
    mark = said.get("context_mark") or said.get("problem_mark")
    why = ", ".join(filter(None, (said.get("context"), said.get("problem")))) or " ".join(str(error).split())
    return CorpusError(f"{path}:{first_line + (mark.line if mark else 0)}: front matter is not valid YAML: {why}")


class _Values:
    """What nodes stand for. Every alias counts as what it repeats, so that a few lines cannot fill the memory."""

    def __init__(self, path: object, first_line: int) -> None:
        self.path = path
        self.first_line = first_line
        self.count = 0

    def of(self, node: "Node") -> Any:
        import yaml

        self.count += 1
        if self.count > MOST_VALUES:
            raise CorpusError(f"{self._place(node)}: front matter of more than {MOST_VALUES} values, aliases repeated")
        if isinstance(node, yaml.MappingNode):
            return dict(self._pairs(node.value))
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item) for item in node.value]
        return node.value if getattr(node, "style", None) else PLAIN.get(node.value, node.value)

    def _pairs(self, pairs: "list[tuple[ScalarNode, Node]]") -> Iterator[tuple[str, Any]]:
        seen = set[str]()
        for key, value in pairs:
            if not isinstance(key.value, str):
                raise CorpusError(f"{self._place(key)}: a key of the front matter is no text")
            if key.value in seen:
                raise CorpusError(f"{self._place(key)}: the key {key.value!r} is there twice; one would be lost")
            seen.add(key.value)
            yield key.value, self.of(value)

    def _place(self, node: "Node") -> str:
        """Marks count from 0."""
        return f"{self.path}:{node.start_mark.line + self.first_line}"

"""Crossed contrast sets: sibling passages that share their words and differ in what they say, and a query for each.

    uv run python packages/overfetch-mini/training/written.py [FILE ...]

Checks the form of `written/*.jsonl` (see GUIDE.md there) or of the files given, finds doubles, and prints for each file
how often counting shared words finds the right passage (ties shared), beside chance.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

FOLDER = Path(__file__).with_name("written")
# Whole files that nothing is ever trained on.
DEV = ("questions-1", "canon-3", "figures-1", "dev-six-1")
KINDS = {
    *("negated", "opposite", "other-entity", "near-name", "other-number", "other-date", "other-version", "hedged"),
    *("mention-only", "planned", "role-swapped", "other-scope", "condition", "exception", "cause-effect", "order"),
    *("quantity", "comparison", "past-present", "attribution", "unit"),
}
SIBLINGS = range(4, 7)
PASSAGE_WORDS, QUERY_WORDS = range(3, 191), range(2, 41)
WORD = re.compile(r"[a-z0-9]+")


class ContrastSet(NamedTuple):
    """Siblings in one order: the query at a place is satisfied by the passage at that place, and by no other."""

    id: str
    queries: tuple[str, ...]
    passages: tuple[str, ...]
    kinds: tuple[str, ...]


def read_sets(path: Path) -> Iterator[ContrastSet]:
    """Raises ValueError naming file and line."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield _parse(json.loads(line))
            except (ValueError, LookupError, TypeError) as error:
                raise ValueError(f"{path}:{number}: {error!r}") from error


def read_public(path: Path) -> Iterator[ContrastSet]:
    """Sets of others, of two passages too, whose form nobody promises."""
    for line in path.read_text(encoding="utf-8").splitlines():
        found = json.loads(line)
        passages, queries = found["passages"], found["queries"]
        yield ContrastSet(str(found["id"]), tuple(queries[k] for k in passages), tuple(passages.values()), ())


def _parse(found: Mapping[str, Mapping[str, str]]) -> ContrastSet:
    passages, queries, kinds = found["passages"], found["queries"], tuple(found["how"].values())
    _require(len(passages) in SIBLINGS and passages.keys() == queries.keys(), "4 to 6 passages, a query for each")
    _require(found["how"].keys() <= passages.keys() and KINDS.issuperset(kinds), f"unknown kind in {kinds}")
    _require(all(text == text.strip() for text in (*passages.values(), *queries.values())), "padded text")
    _require(all(len(text.split()) in PASSAGE_WORDS for text in passages.values()), "passage length")
    _require(all(len(text.split()) in QUERY_WORDS for text in queries.values()), "query length")
    return ContrastSet(str(found["id"]), tuple(queries[k] for k in passages), tuple(passages.values()), kinds)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def find_doubles(sets: Iterable[ContrastSet]) -> list[str]:
    """Texts that occur more than once."""
    return [text for text, times in Counter(t for s in sets for t in (*s.queries, *s.passages)).items() if times > 1]


def chance(sets: Sequence[ContrastSet]) -> float:
    """How often a blind choice is right, over the queries."""
    return fmean(1 / len(s.passages) for s in sets for _ in s.queries)


def found_by_words(sets: Sequence[ContrastSet]) -> float:
    """How often the passage that shares most words with the query is the right one; ties are shared."""
    return fmean(_share(s, place) for s in sets for place in range(len(s.queries)))


def _share(one: ContrastSet, place: int) -> float:
    asked = set(WORD.findall(one.queries[place].lower()))
    shared = [len(asked & set(WORD.findall(passage.lower()))) for passage in one.passages]
    return (shared[place] == max(shared)) / shared.count(max(shared))


def main(paths: Sequence[Path]) -> None:
    every: list[ContrastSet] = []
    for path in paths:
        sets = list(read_sets(path))
        every += sets
        kinds = Counter(kind for s in sets for kind in s.kinds)
        print(
            f"{path.stem}: {len(sets)} sets, {sum(len(s.queries) for s in sets)} queries; by shared words "
            f"{found_by_words(sets):.3f} (chance {chance(sets):.3f}); {dict(kinds.most_common(4))}"
        )
    print(f"{len(every)} sets; by shared words {found_by_words(every):.3f} (chance {chance(every):.3f})")
    if doubles := find_doubles(every):
        sys.exit(f"{len(doubles)} texts are there twice, such as {doubles[0]!r}")


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.jsonl")))

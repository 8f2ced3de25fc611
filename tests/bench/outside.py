"""Test collections that are not in ../shared/data, made into BEIR layout from what anyone can get.

    uv run python tests/bench/outside.py lisa FOLDER --out outside/lisa
    uv run python tests/bench/outside.py time FOLDER --out outside/time
    uv run python tests/bench/outside.py debian --out outside/debian

`lisa` (library science, 5,999 abstracts, 35 questions) and `time` (news of 1963, 423 long articles, 79 questions) are
classical collections with judgements by people: FOLDER holds the original files, as the University of Glasgow gives
them out for research (test_collections; on GitHub in fabianobie/luppar, data/). `debian` asks with the one-line
synopsis of a program for its long description; apt must know English descriptions
(`apt-get -o Acquire::Languages=en update`).
"""

import argparse
import json
import random
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SEED, DEBIAN_QUERIES, LEAST_WORDS = 7, 600, 25
SECTIONS = {"admin", "database", "devel", "editors", "net", "python", "text", "utils", "vcs", "web"}
PART_OF_ANOTHER = re.compile(r"^lib|-(dev|doc|dbg|data|common|bin|source|tests|plugins?)$")
# Two articles between these are in no copy of the file, though the judgements count them; none of them is judged.
LAST_BEFORE, FIRST_AFTER, MISSING = 370, 380, 2


class Collected(NamedTuple):
    """Documents as (id, title, text), queries by id, and the relevant documents of each."""

    documents: list[tuple[str, str, str]]
    queries: Mapping[str, str]
    relevant: Mapping[str, Sequence[str]]


def lisa(folder: Path) -> Collected:
    files = sorted(path for path in folder.iterdir() if re.fullmatch(r"LISA\d\.\d{3}", path.name))
    texts = "".join(path.read_text(encoding="latin-1") for path in files)
    documents = []
    for entry in re.split(r"\*{20,}", texts):
        if found := re.match(r"\s*Document +(\d+)\s*\n(.*?)\n\s*\n(.*)", entry, re.DOTALL):
            documents.append((found[1], joined(found[2]), joined(found[3])))
    asked = re.findall(r"(\d+)\n(.*?)#", (folder / "LISA.QUE").read_text(encoding="latin-1"), re.DOTALL)
    judged = re.findall(r"Query (\d+)\n.*?:\n(.*?)-1", (folder / "LISA.REL").read_text(encoding="latin-1"), re.DOTALL)
    return Collected(documents, {n: joined(text) for n, text in asked}, {n: ids.split() for n, ids in judged})


def time(folder: Path) -> Collected:
    entries = re.split(r"^\*TEXT[^\n]*\n", (folder / "TIME.ALL").read_text(encoding="latin-1"), flags=re.MULTILINE)[1:]
    documents = [(str(place), "", joined(text)) for place, text in enumerate(entries, start=1)]
    asked = re.findall(
        r"\*FIND +(\d+)(.*?)(?=\*FIND|\*STOP|\Z)", (folder / "TIME.QUE").read_text(encoding="latin-1"), re.DOTALL
    )
    lines = map(str.split, (folder / "TIME.REL").read_text(encoding="latin-1").splitlines())
    judged = {number: [str(place_in_file(int(n))) for n in numbers] for number, *numbers in filter(None, lines)}
    return Collected(documents, {n: joined(text) for n, text in asked}, judged)


def place_in_file(number: int) -> int:
    """Where in TIME.ALL the article with that number in TIME.REL stands, from 1."""
    if LAST_BEFORE < number < FIRST_AFTER:
        raise ValueError(f"article {number}: unclear which it is")
    return number if number <= LAST_BEFORE else number - MISSING


def debian() -> Collected:
    documents, synopses, seen = [], {}, set()
    for name, synopsis, description in programs():
        if len(description.split()) >= LEAST_WORDS and description[:100] not in seen:
            seen.add(description[:100])
            documents.append((name, name, description))
            synopses[name] = synopsis
    chosen = random.Random(SEED).sample(sorted(synopses), DEBIAN_QUERIES)
    return Collected(documents, {name: synopses[name] for name in chosen}, {name: [name] for name in chosen})


def programs() -> Iterator[tuple[str, str, str]]:
    """(name, synopsis, description) of each package that is no part of another."""
    names = subprocess.run(["apt-cache", "pkgnames"], check=True, capture_output=True, text=True).stdout.split()
    wanted = sorted(name for name in names if not PART_OF_ANOTHER.search(name))
    command = ["xargs", "apt-cache", "--no-all-versions", "-o", "Acquire::Languages=en", "show"]
    shown = subprocess.run(command, check=False, input="\n".join(wanted), capture_output=True, text=True).stdout
    for entry in shown.split("\n\n"):
        section = re.search(r"^Section: (\S+)$", entry, re.MULTILINE)
        found = re.search(r"^Description-en: (.*)\n((?: .*\n)+)", entry, re.MULTILINE)
        if found and section and section[1] in SECTIONS:
            name = entry.removeprefix("Package: ").split("\n", 1)[0]
            yield name, found[1], joined(found[2].replace("\n .\n", "\n"))


def joined(text: str) -> str:
    return " ".join(text.split())


def write(collected: Collected, out: Path) -> None:
    (out / "qrels").mkdir(parents=True, exist_ok=True)
    records = [{"_id": i, "title": title, "text": text} for i, title, text in collected.documents]
    write_lines(out / "corpus.jsonl", records)
    judged = {query for query, documents in collected.relevant.items() if documents}
    queries = [{"_id": i, "text": text} for i, text in collected.queries.items() if i in judged]
    write_lines(out / "queries.jsonl", queries)
    rows = [f"{query}\t{document}\t1" for query in judged for document in collected.relevant[query]]
    text = "\n".join(["query-id\tcorpus-id\tscore", *sorted(rows)])
    (out / "qrels/test.tsv").write_text(f"{text}\n", encoding="utf-8")
    print(f"{out}: {len(records):,} documents, {len(queries):,} queries, {len(rows):,} judgements")


def write_lines(path: Path, records: Sequence[Mapping[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", choices=("lisa", "time", "debian"))
    parser.add_argument("folder", type=Path, nargs="?", help="of the original files")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    if given.collection == "debian":
        collected = debian()
    elif given.folder is None:
        parser.error(f"{given.collection} needs the folder of its original files")
    else:
        collected = {"lisa": lisa, "time": time}[given.collection](given.folder)
    write(collected, given.out)


if __name__ == "__main__":
    main()

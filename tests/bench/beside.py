"""A bench of this clone beside the same bench of another commit's, interleaved: medians, and what noise alone does.

    git worktree add ../before COMMIT && (cd ../before && uv sync --group dev)
    uv run python tests/bench/beside.py ../before --rounds 5 -- tests/bench/cold.py

Every number that the bench prints is compared, in the order of printing. Each round runs before, after and before
again: the ratio of the two runs of the same commit is the noise that a difference has to exceed. Stores and models are
kept apart, in a temporary folder for each clone.
"""

import argparse
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

HERE = Path(__file__).parents[2]
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?|(?<![\w.])\.\d+")
CLONES = ("before", "after", "again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first", default="", help="An overfetch command that each clone runs once before.")
    parser.add_argument("bench", nargs="+")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        places = {"before": given.before, "after": HERE, "again": given.before}
        if given.first:
            for name in ("before", "after"):
                run(places[name], "overfetch", given.first.split(), Path(folder))
        printed = [
            {name: run(places[name], "python", given.bench, Path(folder)) for name in CLONES}
            for _ in range(given.rounds)
        ]
    show(printed)


def run(clone: Path, program: str, arguments: Sequence[str], folder: Path) -> str:
    clone = clone.resolve()
    own = folder / clone.name
    environment = {**os.environ, "OVERFETCH_CACHE": str(own / "cache"), "OVERFETCH_QDRANT": f"file:{own / 'store'}"}
    environment.pop("VIRTUAL_ENV", None)
    command = [str(clone / ".venv/bin" / program), *arguments]
    return subprocess.run(command, cwd=clone, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def show(rounds: Sequence[dict[str, str]]) -> None:
    """The lines of the last run after, and each of their numbers as medians and ratios."""
    print(rounds[-1]["after"])
    numbers = [{name: numbers_in(text) for name, text in printed.items()} for printed in rounds]
    count = min(len(found) for r in numbers for found in r.values())
    print("| number | before | after | after / before | before again / before |")
    print("|---|---|---|---|---|")
    for place in range(count):
        of = {name: median(r[name][place] for r in numbers) for name in CLONES}
        if all(r["before"][place] for r in numbers):
            ratio = {name: median(r[name][place] / r["before"][place] for r in numbers) for name in CLONES}
            print(f"| {place + 1} | {of['before']:g} | {of['after']:g} | {ratio['after']:.2f} | {ratio['again']:.2f} |")


def numbers_in(text: str) -> list[float]:
    return [float(number.replace(",", "")) for number in NUMBER.findall(text)]


if __name__ == "__main__":
    main()

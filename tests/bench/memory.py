"""What sites cost in memory: the resident set of a process that opens one site, or all, and searches each once.

    uv run python tests/bench/memory.py [--sites builddaily,paiddaily,sagedaily] [--rounds 5] [--json]

On the mini profile, with the sample corpora in a temporary folder, which another process has indexed. Every case is a
new process, in turn, round by round. On Linux.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from overfetch import open_site

SITES = "builddaily,paiddaily,sagedaily"
QUESTION = "What is Sage Daily?"
MEGABYTE = 2**20  # as tests/bench/cold.py counts
INDEX, OPEN = "--index", "--open"


class Used(NamedTuple):
    """Megabytes: the resident set after each opening and search, and the largest that there was."""

    resident: list[float]
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", default=SITES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(INDEX, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(OPEN, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    sites = given.sites.split(",")
    if given.index:
        index(sites)
    elif given.open:
        print(json.dumps(used_by(sites)))
    else:
        show(measure(sites, given.rounds), as_json=given.json)


def index(sites: list[str]) -> None:
    for name in sites:
        with open_site(name) as engine:
            for collection in engine.site.collections:
                engine.index(collection.name)


def used_by(sites: list[str]) -> Used:
    """All stay open until the last was searched."""
    found = []
    with ExitStack() as opened:
        for name in sites:
            engine = opened.enter_context(open_site(name))
            engine.search(engine.site.ask, QUESTION)
            found.append(resident())
        return Used(found, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEGABYTE)


def resident() -> float:
    """Megabytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / MEGABYTE


def measure(sites: list[str], rounds: int) -> dict[str, Used]:
    """Medians of each site alone and of all, by the names of the sites."""
    cases = [*([name] for name in sites), sites]
    spent: dict[str, list[Used]] = {",".join(case): [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        run(INDEX, ",".join(sites), folder)
        for _ in range(rounds):
            for case, kept in spent.items():
                kept.append(Used(**dict(zip(Used._fields, json.loads(run(OPEN, case, folder)), strict=True))))
    return {case: medians(kept) for case, kept in spent.items()}


def run(what: str, sites: str, folder: str) -> str:
    """This file in a process of its own, on a store in that folder."""
    settings = {"OVERFETCH_QDRANT": f"file:{folder}", "OVERFETCH_PROFILE": "mini"}
    command = [sys.executable, __file__, what, "--sites", sites]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | settings).stdout


def medians(rounds: list[Used]) -> Used:
    steps = zip(*(used.resident for used in rounds), strict=True)
    return Used([round(median(step), 1) for step in steps], round(median(used.peak for used in rounds), 1))


def show(found: dict[str, Used], *, as_json: bool) -> None:
    *single, together = found.values()
    ratio = round(together.peak / max(used.peak for used in single), 3)
    if as_json:
        print(json.dumps({"megabytes": {case: used._asdict() for case, used in found.items()}, "ratio": ratio}))
        return
    for case, used in found.items():
        steps = ", ".join(f"{step:.0f}" for step in used.resident)
        print(f"{case:32} peak {used.peak:5.0f} MB; after each site {steps} MB")
    print(f"all sites / the largest alone: {ratio:.2f}")


if __name__ == "__main__":
    main()

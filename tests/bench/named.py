"""Whether who is named comes first, over all tickers: symbols, names, former names, and what several are called.

    uv run python tests/bench/named.py [--draws 1000] [--seed 11] [--json]

Over the real companies and coins, indexed as `overfetch index paiddaily/tickers` does it (once, in OVERFETCH_QDRANT);
the first stage alone, since what leads is its. What one company has is right where its row, or another of the company's
listings, is first. What several have is right where all of them are within the first five, or the best by the stated
rule: who has the symbol in the United States, then the larger, then those who list it.
"""

import argparse
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from overfetch import Engine, Passage, open_site
from overfetch.cli.console import index_with_progress
from paiddaily.records import adapt_ticker

CORPUS = Path(__file__).parents[2].parent / "shared/data/corpora/tickers"
SOURCES = [CORPUS / "companies.jsonl", CORPUS / "cryptos.jsonl"]
SIZES = ("Mega Cap", "Large Cap", "Mid Cap", "Small Cap", "Micro Cap", "Nano Cap", "")
FORMER = re.compile(r"formerly known as ([^;()]{2,60}?)(?: and changed|,|\.(?: |$))")
SHOWN = 5

Row = Mapping[str, Any]


class Asked(NamedTuple):
    """A look-up, and the rows that bear what it names."""

    query: str
    bearers: Sequence[Row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [row_of(json.loads(line)) for path in SOURCES for line in path.open(encoding="utf-8")]
    with open_site("paiddaily") as engine:
        if not engine.is_indexed("tickers"):
            index_with_progress(engine, "tickers", *SOURCES)
        for kind, asked in kinds(rows).items():
            drawn = random.Random(options.seed).sample(asked, min(options.draws, len(asked)))
            wrong = [one.query for one in drawn if not is_right(one.bearers, found(engine, one.query))]
            right = len(drawn) - len(wrong)
            if options.json:
                print(json.dumps({"kind": kind, "of": len(asked), "asked": len(drawn), "right": right, "wrong": wrong}))
            else:
                share = f"{right} of {len(drawn)} ({right / len(drawn):.1%})"
                print(f"{kind}, {len(asked)}: {share}; not {wrong[:5]}", flush=True)


def row_of(record: dict[str, Any]) -> Row:
    """As it is indexed, and its own symbol without the exchange."""
    return {**adapt_ticker(record), "base": record["symbol"].partition(".")[0]}


def kinds(rows: Sequence[Row]) -> dict[str, list[Asked]]:
    symbols = grouped(rows, lambda row: [row["base"]])
    names = grouped(rows, lambda row: [row["name"].casefold()])
    listings = grouped(rows, lambda row: [one for one in row.get("listings") or () if "." in one])
    former = grouped(rows, lambda row: FORMER.findall(row.get("summary") or "")[:1])
    return {
        "symbols with an exchange": listings,
        "names that one has": [one for one in names if len(one.bearers) == 1],
        "names that several have": [one for one in names if len(one.bearers) > 1],
        "bare symbols that several have": [one for one in symbols if len(one.bearers) > 1],
        "bare symbols that one has": [one for one in symbols if len(one.bearers) == 1],
        "former names": [one for one in former if len({row["company"] for row in one.bearers}) == 1],
    }


def grouped(rows: Iterable[Row], called: Callable[[Row], Iterable[str]]) -> list[Asked]:
    bearers: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        for name in called(row):
            bearers[name].append(row)
    return [Asked(name, those) for name, those in bearers.items()]


def found(engine: Engine, query: str) -> list[Passage]:
    return [hit.passage for hit in engine.search("tickers", query, rerank=False, top_n=SHOWN).hits]


def is_right(bearers: Sequence[Row], hits: Sequence[Passage]) -> bool:
    if len(bearers) == 1:
        return any(is_of(bearers[0], hit) for hit in hits[:1])
    best = min(bearers, key=rank)
    return any(is_of(best, hit) for hit in hits) or all(any(is_of(row, hit) for hit in hits) for row in bearers)


def rank(row: Row) -> tuple[bool, int]:
    return not (row.get("us_symbol") or row["asset_class"] == "crypto"), SIZES.index(row.get("market_cap") or "")


def is_of(row: Row, passage: Passage) -> bool:
    """The row itself, or another listing of its company, which one result stands for."""
    same = row["company"] and passage.metadata.get("company") == row["company"]
    return passage.document_id == row["_id"] or bool(same)


if __name__ == "__main__":
    main()

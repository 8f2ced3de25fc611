"""What optimising gains: every site's answer module, each of DSPy's optimisers, before and after on the test questions.

    uv run python tests/bench/compiling.py [--budget 200] [--only SITE/COLLECTION] [--json]

The language model is the rule-based one of `overfetch_answers.testing`: deterministic, as careless as small models
are, and better the more its prompt shows or tells it. Real retrieval: the mini profile over the sample corpora, in a
temporary folder. Learnt on the judged queries' dev part, compared on their test part (`answer_quality`).
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import dspy

from overfetch import load_site, open_site, site_names
from overfetch.judged import read_judged_queries
from overfetch_answers.compiling import Compilation, compile_answers
from overfetch_answers.optimizing import Optimizer
from overfetch_answers.testing import AsyncRuleBasedEngine, RuleBasedEngine

TARGETS = tuple(f"{site}/{collection.name}" for site in site_names() for collection in load_site(site).collections)


@contextlib.contextmanager
def unwatched(_: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def compilations(target: str, budget: int, folder: Path) -> Iterator[Compilation]:
    """One for each optimiser."""
    site, _, collection = target.partition("/")
    with open_site(site) as engine:
        engine.index(collection)
        judged = engine.site.collection(collection).judged or Path()
        for optimizer in get_args(Optimizer):
            print(f"{target} {optimizer}", file=sys.stderr)
            yield compile_answers(
                engine,
                collection,
                read_judged_queries(judged, "dev"),
                read_judged_queries(judged, "test"),
                optimizer=optimizer,
                lm=dspy.LM("rules", engine=RuleBasedEngine(), async_engine=AsyncRuleBasedEngine(), cache=False),
                budget=budget,
                log=folder / f"{site}-{collection}-{optimizer}.jsonl",
                watch=unwatched,
                out=folder / f"{site}-{collection}-{optimizer}.json",
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=200, help="calls while optimising")
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OVERFETCH_QDRANT"] = f"file:{folder}/index"
        targets = [given.only] if given.only else TARGETS
        rows = [row for target in targets for row in compilations(target, given.budget, Path(folder))]
    if given.json:
        return print(json.dumps([described(row) for row in rows], indent=1))
    for row in rows:
        gain, saved = row.difference, "saved" if row.saved else "not saved"
        print(
            f"{row.collection:22}{row.optimizer:11}{row.before:.3f} -> {row.after:.3f}"
            f"  {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]  {row.calls} calls  {saved}"
        )
    return None


def described(row: Compilation) -> dict[str, Any]:
    """The row, with whether it was saved in place of a path that is gone."""
    return {**row.model_dump(), "saved": row.saved is not None}


if __name__ == "__main__":
    main()

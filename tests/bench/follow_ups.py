"""What is searched for where a question leans on the turns before it: recall@5 of the page meant, on sample dialogs.

    python tests/bench/follow_ups.py [--json]

Compares the question as it stands, the turn before with it (without a language model), and the rewritten question (of
the language model at OVERFETCH_LM; else of the rule-based stand-in, which only puts in names).
"""

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai_server

from overfetch import Engine, LanguageModel, Turn, load_site, open_site
from overfetch.conversation import carry_over, standalone
from overfetch.environment import read_environment
from overfetch.evaluation.metrics import paired_difference

ANSWERING = "builddaily.answering:answer_chat"

Query = Callable[[str, list[Turn]], str]


def found(engine: Engine, dialogs: list[dict[str, Any]], query: Query) -> list[float]:
    """1 for each dialog whose page is among the five passages, else 0."""
    values = []
    for dialog in dialogs:
        history = [Turn(question=question) for question in dialog["history"]]
        hits = engine.search("chat", query(dialog["text"], history)).hits
        values.append(float(dialog["relevant"] in {hit.passage.document_id for hit in hits}))
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = load_site("builddaily").collection("chat").judged or Path()
    dialogs = [json.loads(line) for line in (folder / "dialogs.jsonl").read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as store, openai_server.running() as address:
        os.environ["OVERFETCH_QDRANT"] = f"file:{store}"
        lm = read_environment().language_model or LanguageModel(name="openai/rules", api_base=address)
        lm = lm.model_copy(update={"rewrites": True})
        with open_site("builddaily") as engine:
            engine.index("chat")
            ways: dict[str, Query] = {
                "as it stands": lambda question, history: question,
                "with the turn before": carry_over,
                f"rewritten by {lm.name}": lambda question, history: standalone(question, history, ANSWERING, lm),
            }
            values = {way: found(engine, dialogs, query) for way, query in ways.items()}
    first = values["as it stands"]
    result: dict[str, dict[str, Any]] = {
        way: {"recall@5": sum(v) / len(v), "difference": paired_difference(first, v).model_dump()}
        for way, v in values.items()
    }
    if given.json:
        print(json.dumps({"dialogs": len(dialogs), **result}, indent=1))
        return
    print(f"{len(dialogs)} dialogs; recall@5 of the page meant, difference to the question as it stands")
    for way, row in result.items():
        gain = row["difference"]
        print(f"{way:28}{row['recall@5']:.3f}  {gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]")


if __name__ == "__main__":
    main()

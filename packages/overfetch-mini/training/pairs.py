"""Training pairs: (query, positive, source) of the licensed sources, capped, in seeded order."""

import json
import random
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import md5
from pathlib import Path
from typing import Any

SEED = 7
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
MIN_SENTENCE, MAX_SENTENCE = 40, 240  # characters of a sentence that can stand as a query
PUBLIC = "public domain"  # of a corpus whose texts have licences of their own, only these
MIN_REST = 200  # characters that must remain of its passage

Pair = dict[str, Any]


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def read_collection(folder: Path) -> Iterator[Pair]:
    """A test collection as pairs, which then evaluates nothing any more; of a corpus alone each text by its title."""
    documents = [d for d in read_lines(folder / "corpus.jsonl") if PUBLIC in d.get("license", PUBLIC)]
    if not (folder / "queries.jsonl").exists():
        yield from ({"query": d["title"], "positive": d["text"], "source": folder.name} for d in documents)
        return
    passages = {d["_id"]: f"{d['title']}\n{d['text']}".strip() for d in documents}
    queries = {q["_id"]: q["text"] for q in read_lines(folder / "queries.jsonl")}
    for line in (folder / "qrels/test.tsv").read_text().splitlines()[1:]:
        query, document, score = line.split("\t")
        if int(score) > 0:
            yield {"query": queries[query], "positive": passages[document], "source": folder.name}


def sentence_pair(pair: Pair, draw: random.Random) -> Pair | None:
    """Inverse cloze (Lee et al. 2019, arXiv 1906.00300): a sentence asks for the rest of its passage."""
    sentences = SENTENCE.split(pair["positive"])
    fit = [s for s in sentences[1:] if MIN_SENTENCE <= len(s) <= MAX_SENTENCE]
    if not fit:
        return None
    chosen = draw.choice(fit)
    rest = " ".join(s for s in sentences if s != chosen)
    return {**pair, "query": chosen, "positive": rest, "cloze": True} if len(rest) >= MIN_REST else None


def choose(offered: list[Pair], limit: dict[str, Any], draw: random.Random) -> list[Pair]:
    """Of one source: pairs, cloze pairs of other passages, questions without an answer, passages without a question."""
    asked = [p for p in offered if p["query"] and p["positive"]]
    answering = [p for p in offered if p["positive"]]
    made = (sentence_pair(p, draw) for p in reversed(answering))
    cloze = [p for p, _ in zip(filter(None, made), range(limit.get("cloze", 0)), strict=False)]
    questions = [p for p in offered if p["positive"] is None][: limit.get("questions", 0)]
    others = [p for p in offered if not p["query"]][: limit.get("others", 0)]
    return asked[: limit["groups"]] + cloze + questions + others


def read_pairs(paths: Iterable[Path]) -> list[Pair]:
    """What sources.toml allows of each source; sources that it does not name are left out.

    A path is a .jsonl of pairs or a folder in BEIR layout. A pair may lack its positive (a question that nobody
    answered) or its query (a passage that is only found by other queries).
    """
    limits = tomllib.loads(Path(__file__).with_name("sources.toml").read_text())
    by_source: dict[str, list[Pair]] = defaultdict(list)
    for path in paths:
        for pair in read_collection(path) if path.is_dir() else read_lines(path):
            pair["source"] = pair["source"].split(":")[0]
            by_source[pair["source"]].append(pair)
    draw = random.Random(SEED)
    chosen = []
    for source, limit in limits.items():
        chosen += choose(draw.sample(by_source[source], len(by_source[source])), limit, draw)
    draw.shuffle(chosen)
    return chosen


def is_held_out(pair: Pair) -> bool:
    """One query in twenty is never trained on."""
    return int(md5(pair["query"].lower().encode()).hexdigest(), 16) % 20 == 0

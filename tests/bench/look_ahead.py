"""Whether anything of later days shows under `as_of`: all events against those alone that were known by then.

    uv run python tests/bench/look_ahead.py [--pairs 10000] [--moments 40] [--asked 1000] [--only sample] [--json]

Of each corpus (the sample's events, and the real ones where ../shared is) one collection holds everything, and for
each moment another holds what was known by then. Every (query, as_of) pair is searched in both, one in four under
filters of its own, and some are asked, which reranks and quotes. `text`: documents that name or show a passage or an
outcome that was not known. `order`: documents of JSON, candidates and all, that differ in anything but the
collection's name, its times and the last digits of scores, which depend on where in memory a vector lies; where those
digits decide a near tie, the order differs from one writing of a collection to the next, so that what differs is tried
again in collections written anew (`ties`), and a leak is what differs every time. Queries are drawn from what happened
before and after. Ends with 1 on a leak.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from overfetch import Document, Engine, Passage, Workspace, load_site, parse_date
from overfetch.documents import AnswerDocument, HitDocument, RetrievalDocument
from overfetch.environment import read_environment
from overfetch.indexing import encode, to_passages
from overfetch.protocols import Embedder, EncodedPassage, Vectors
from overfetch.provenance import Provenance
from overfetch.types import Frozen, Retrieval

SITE = load_site("paiddaily")
EVENTS = SITE.collection("catalysts")
KNOWN_AT = str(EVENTS.known_at)
REAL = Path(__file__).parents[2].parent / "shared/data/corpora/catalyst-events"
OWN = {"collection", "timings_ms"}  # of a collection, not of what it holds
NOISE = 1e-5  # of scores near 1
TRIES = 6  # of what differs
ENOUGH = 2  # leaks of order, after which the rest is not tried again
WORDS = 5  # of an event's text that become a query
NOT_THERE = ("Zephyria", "quokka finance", "eip 99999", "$ZZQX", "hacks over $900 billion")
ASKED = (
    "{entity}",
    "{entity} {kind}",
    "${symbol}",
    "{title}",
    "{words}",
    "{outcome}",
    "{shape}",
    "{kind} around {day}",
    "{kind} in {month}",
    "{kind} {part} {month}, {words}",
    "{kind} last month",
    "{entity} before {month}",
    "{shape} and {other}",
    "{kind} over ${amount}",
    "what happened to {entity} after {words}",
)


class Row(Frozen):
    """What one way to ask showed of one corpus; `ms` are those of one document."""

    corpus: str
    way: str
    pairs: int
    text: int
    order: int
    ties: int
    ms: float


class Remembering:
    """The embedder, which embeds each query once for all collections."""

    def __init__(self, embedder: Embedder) -> None:
        self.spec = embedder.spec
        self.warm_up, self.count_truncated = embedder.warm_up, embedder.count_truncated
        self.embed_passages = embedder.embed_passages
        self._embedder = embedder
        self._known: dict[str, Any] = {}

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        for text in texts:
            if text not in self._known:
                self._known[text] = self._embedder.embed_queries([text])[0]
        return np.stack([self._known[text] for text in texts])


class Pair(NamedTuple):
    """One request: a query, the moment that bounds it, and further options."""

    query: str
    as_of: str
    options: Mapping[str, Any]


class Archive:
    """One corpus, its passages with their vectors, and an engine over all of them or over those of a moment."""

    def __init__(self, name: str, sources: Sequence[Path], workspace: Workspace) -> None:
        self.name = name
        self.workspace = workspace
        self.documents = list(EVENTS.read(*sources))
        self.embedder = Remembering(workspace.site(SITE).embedder)
        passages = [passage for document in self.documents for passage in to_passages(EVENTS, document)]
        self.passages = encode(passages, self.embedder, bm25=EVENTS.bm25)
        self.days = sorted({at for e in self.passages if (at := _known_at(e.passage))})

    def engine(self, name: str, passages: Sequence[EncodedPassage]) -> Engine:
        """One over a collection that holds just these."""
        site = SITE.model_copy(update={"name": f"{self.name}-{name}"})
        provenance = Provenance.of(self.embedder.spec, EVENTS.chunker, self.name, EVENTS.filters, EVENTS.bm25)
        with self.workspace.store.write(f"{site.name}/{EVENTS.name}", provenance, EVENTS.filters) as writer:
            writer.upsert(passages)
        opened = self.workspace.site(site)
        opened.embedder = self.embedder
        return opened

    def known_by(self, moment: str) -> tuple[list[EncodedPassage], set[str]]:
        """What was known, and the ids and texts of what was not."""
        by = parse_date(moment, end_of_day=True)
        known = [e for e in self.passages if (at := _known_at(e.passage)) and at <= by]
        shown, every = ({t for e in some for t in (e.passage.id, e.passage.text)} for some in (known, self.passages))
        return known, every.union(
            str(d.metadata["outcome"]) for d in self.documents if d.metadata.get("outcome")
        ) - shown

    def is_tie(self, pair: Pair, way: str, known: Sequence[EncodedPassage]) -> bool:
        """Whether both show the same when they are written anew."""
        for number in range(TRIES):
            engines = [
                self.engine(f"{name}-again-{number}", some) for name, some in (("all", self.passages), ("by", known))
            ]
            one, other = (WAYS[way](engine, pair) for engine in engines)
            for engine in engines:
                self.workspace.store.drop(engine.name_of(EVENTS.name))
            if is_same(one, other):
                return True
        return False

    def moments(self, draw: random.Random, count: int) -> Iterator[str]:
        """Days of events, the days between, and hours of a day."""
        first, last = self.days[0], self.days[-1]
        for number in range(count):
            day = draw.choice(self.days) if number % 2 else first + draw.random() * (last - first)
            yield f"{day:%Y-%m-%d}" if number % 3 else f"{day:%Y-%m-%d}T12:00:00"


def _known_at(passage: Passage) -> datetime | None:
    known = passage.metadata.get(KNOWN_AT)
    return parse_date(str(known)) if known else None


def pairs_at(moment: str, documents: Sequence[Document], draw: random.Random, count: int) -> Iterator[Pair]:
    """Queries in the words of any event, also of what came later; one in four is bounded by more than `as_of`."""
    for _ in range(count):
        event, other = draw.choice(documents), draw.choice(documents)
        query = draw.choice(NOT_THERE) if draw.random() < 0.05 else _query(event, other, draw)
        bounds: list[dict[str, Any]] = [
            {"literal": True},
            {"near": str(event.metadata["date"])},
            {"where": [f"type={event.metadata['type']}"]},
            {"top_k": 50, "top_n": 20},
        ]
        yield Pair(query, moment, draw.choice(bounds) if draw.random() < 0.25 else {})


def _query(event: Document, other: Document, draw: random.Random) -> str:
    day = parse_date(str(event.metadata["date"])) + timedelta(draw.randint(-20, 20))
    text, outcome = event.text.split(), str(event.metadata.get("outcome") or event.text).split()
    return draw.choice(ASKED).format(
        entity=event.metadata.get("entity"),
        symbol=event.metadata.get("symbol") or "ETH",
        title=event.title,
        kind=event.metadata["type"],
        words=_some(text, draw),
        outcome=_some(outcome, draw),
        shape=_shape(event),
        other=_shape(other),
        day=f"{day:%d %B %Y}",
        month=f"{day:%B %Y}",
        part=draw.choice(("early", "late", "mid", "before", "since")),
        amount=draw.choice(("10k", "1m", "50 million")),
    )


def _shape(event: Document) -> str:
    shape = event.metadata.get("shape")
    return shape[0].replace(":", " ") if isinstance(shape, list) and shape else event.title


def _some(words: Sequence[str], draw: random.Random) -> str:
    start = draw.randrange(max(1, len(words) - WORDS))
    return " ".join(words[start : start + WORDS])


def search(engine: Engine, pair: Pair) -> dict[str, Any]:
    """The first stage's document: the second one sees nothing else."""
    retrieval = engine.search(EVENTS.name, pair.query, **_options(pair), rerank=False)
    return {**RetrievalDocument.of(retrieval).model_dump(mode="json"), "candidates": _candidates(retrieval)}


def ask(engine: Engine, pair: Pair) -> dict[str, Any]:
    """The answer's document, quotes and all."""
    answer = engine.ask(pair.query, collection=EVENTS.name, **_options(pair))
    candidates = [_candidates(retrieval) for retrieval in answer.retrievals]
    return {**AnswerDocument.of_answer(answer).model_dump(mode="json"), "candidates": candidates}


def _options(pair: Pair) -> dict[str, Any]:
    return {"as_of": pair.as_of, "include_candidates": True, **pair.options}


def _candidates(retrieval: Retrieval) -> list[dict[str, Any]]:
    return [HitDocument.of(hit).model_dump(mode="json") for hit in retrieval.candidates]


def is_same(one: Any, other: Any) -> bool:
    """Whether two documents say the same, but for what is of their collections."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=NOISE, abs_tol=NOISE)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[name], other[name]) for name in one.keys() - OWN)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def strings(shown: Any) -> Iterator[str]:
    if isinstance(shown, str):
        yield shown
    elif isinstance(shown, dict | list):
        for item in shown.values() if isinstance(shown, dict) else shown:
            yield from strings(item)


WAYS = {"search": search, "ask": ask}


class Count:
    """Pairs of one way, and what leaked."""

    def __init__(self) -> None:
        self.pairs = self.text = self.order = self.ties = 0
        self.seconds = 0.0
        self.shown: list[str] = []

    def add(
        self,
        pair: Pair,
        way: str,
        everything: Engine,
        known: Engine,
        hidden: set[str],
        is_tie: Callable[[Pair, str], bool],
    ) -> None:
        began = time.perf_counter()
        one, other = (WAYS[way](engine, pair) for engine in (everything, known))
        self.seconds += time.perf_counter() - began
        leaked, moved = not hidden.isdisjoint(strings(one)), not is_same(one, other)
        tied = moved and not leaked and self.order < ENOUGH and is_tie(pair, way)
        self.ties, moved = self.ties + tied, moved and not tied
        self.pairs, self.text, self.order = self.pairs + 1, self.text + leaked, self.order + moved
        if leaked or moved:
            self.shown.append(f"{way} {pair}")


def run(workspace: Workspace, corpora: Mapping[str, Sequence[Path]], options: argparse.Namespace) -> Iterator[Row]:
    draw = random.Random(options.seed)
    moments = max(1, options.moments // len(corpora))
    share = -(-options.pairs // (moments * len(corpora)))
    for name, sources in corpora.items():
        archive, counts = Archive(name, sources, workspace), {way: Count() for way in WAYS}
        everything = archive.engine("all", archive.passages)
        for number, moment in enumerate(archive.moments(draw, moments)):
            known, hidden = archive.known_by(moment)
            then = archive.engine(f"by-{number}", known)
            for pair in pairs_at(moment, archive.documents, draw, share):
                way = "ask" if draw.random() < options.asked / options.pairs else "search"
                counts[way].add(pair, way, everything, then, hidden, partial(archive.is_tie, known=known))
            workspace.store.drop(then.name_of(EVENTS.name))
            told = ", ".join(f"{count.pairs} {way}" for way, count in counts.items())
            print(f"{name}: {number + 1} of {moments} moments, {told}", file=sys.stderr, flush=True)
        for way, count in counts.items():
            for told in count.shown[:5]:
                print(f"{name}: leaked: {told}", file=sys.stderr)
            ms = round(500 * count.seconds / max(1, count.pairs), 1)
            yield Row(
                corpus=name,
                way=way,
                pairs=count.pairs,
                text=count.text,
                order=count.order,
                ties=count.ties,
                ms=ms,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--moments", type=int, default=40)
    parser.add_argument("--asked", type=int, default=1_000, help="of the pairs: asked, with reranking and quotes")
    parser.add_argument("--only", choices=("sample", "real"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    corpora: dict[str, Sequence[Path]] = {"sample": []}
    if REAL.exists():
        corpora["real"] = sorted(REAL.glob("*.jsonl"))
    if options.only:
        corpora = {options.only: corpora[options.only]}
    with tempfile.TemporaryDirectory() as folder:
        environment = read_environment().model_copy(update={"qdrant": f"file:{folder}", "lm": None})
        with Workspace(environment) as workspace:
            rows = list(run(workspace, corpora, options))
    if options.json:
        print(json.dumps([row.model_dump() for row in rows]))
    else:
        print(
            "| corpus | way | pairs | leaks of text | leaks of order | near ties | ms |\n|---|---|---|---|---|---|---|"
        )
        for row in rows:
            print(f"| {row.corpus} | {row.way} | {row.pairs:,} | {row.text} | {row.order} | {row.ties} | {row.ms} |")
    sys.exit(any(row.text or row.order for row in rows))


if __name__ == "__main__":
    main()

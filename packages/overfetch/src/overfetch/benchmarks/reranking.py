"""`overfetch bench rerank`: equal weights, side by side, against the machine's own limit."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig

from overfetch.benchmarks.contenders import BASELINE, MAX_TOKENS, OURS, Score, contenders
from overfetch.benchmarks.limits import Limits
from overfetch.benchmarks.passages import QUERY, generated_text, log_normal_passages, own_passages
from overfetch.benchmarks.shares import Limit, Operations, Pace, between, note, operations, part, share, spread
from overfetch.indexing import Progress
from overfetch.types import Frozen

KEPT = 5
REQUESTS_PER_CLIENT = 3


class Row(Frozen):
    """One contender. `speedup` is over the baseline: by requests a second, which for one client is by time.

    `gemm_share`: what dense products at the machine's limit would take, over what was taken, for the operations of the
    whole model in the row's own precision. `gemm_computed`: of these, the part that the row computes. Ours leave out
    those of a last layer that nobody reads, about a seventh of six layers. `gemm_note`: why the share is above 1.
    """

    name: str
    model: str
    candidates: int
    clients: int
    median_ms: float
    p99_ms: float
    requests_per_second: float
    speedup: float
    max_score_difference: float
    top5_overlap: float
    gemm_share: float
    gemm_computed: float
    gemm_note: str | None


class Comparison(Frozen):
    """`token_counts` of the first size's pairs; `padding_waste`: the share of padding in one padded batch of them.

    `gemm_limits` by precision; `gemm_library`: what was fastest in float32.
    """

    threads: int
    passages: str
    rounds: int
    token_counts: tuple[int, ...]
    padding_waste: float
    gemm_library: str
    gemm_limits: dict[str, Limit]
    rows: tuple[Row, ...]


class Setting(NamedTuple):
    """What all contenders do in turn: `clients` at once ask for the scores of the same passages."""

    passages: list[str]
    clients: int
    lengths: list[int]


class Spent(NamedTuple):
    """Over all rounds: seconds of each request, seconds until all were answered, the limits while they were."""

    requests: list[float]
    whole: list[float]
    scores: list[list[float]]
    paces: list[Pace]

    def each(self) -> list[float]:
        """Seconds for each request, round by round."""
        return [whole * len(self.whole) / len(self.requests) for whole in self.whole]


def compare(
    model: str,
    folder: Path,
    *,
    threads: int,
    sizes: Sequence[int],
    clients: int,
    rounds: int,
    passages: str | None = None,
    progress: Progress = lambda done, total: None,
) -> Comparison:
    """Makes the model in `folder` and times every contender on each number of candidates, then `clients` at once."""
    torch.set_num_threads(threads)
    scorers = contenders(model, folder, threads)
    reader = Reader(folder / "source")
    limits = Limits(reader.config, threads)
    settings = [reader.setting(own_passages(passages, n) if passages else reader.log_normal(n)) for n in sizes]
    if clients > 1:
        settings.append(settings[0]._replace(clients=clients))
    rows: list[Row] = []
    paces: list[Pace] = []
    for done, setting in enumerate(settings):
        chosen = scorers if setting.clients == 1 else {name: scorers[name] for name in (BASELINE, *OURS)}
        spent = _interleave(
            chosen, setting, rounds, limits, lambda r, at=done: progress(at * rounds + r, len(settings) * rounds)
        )
        rows += _rows(model, reader.config, setting, spent)
        paces += [pace for row in spent.values() for pace in row.paces]
    counts = reader.lengths(settings[0].passages)
    return Comparison(
        threads=threads,
        passages=passages or f"log-normal, {np.mean(counts):.0f} tokens a pair on average",
        rounds=rounds,
        token_counts=tuple(counts),
        padding_waste=round(1 - sum(counts) / (len(counts) * max(counts)), 3),
        gemm_library=limits.fp32_library,
        gemm_limits=spread(paces),
        rows=tuple(rows),
    )


class Reader:
    """Counts what a model reads of a passage."""

    def __init__(self, source: Path) -> None:
        self.config = AutoConfig.from_pretrained(source)
        self._tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def setting(self, passages: list[str]) -> Setting:
        return Setting(passages, 1, self.lengths(passages))

    def lengths(self, passages: Sequence[str]) -> list[int]:
        """Tokens of each pair with QUERY."""
        return [min(MAX_TOKENS, len(self._tokenizer.encode(QUERY, passage))) for passage in passages]

    def log_normal(self, count: int) -> list[str]:
        """Passages whose pairs have the mean length wanted."""
        text = generated_text(self._tokenizer)
        return log_normal_passages(self._tokenizer, text, count, len(self._tokenizer.encode(QUERY, "")))


def _interleave(
    scorers: dict[str, Score], setting: Setting, rounds: int, limits: Limits, progress: Any
) -> dict[str, Spent]:
    """Every contender once a round, between two measurements of the limits; a round before the first warms up."""
    spent = {name: Spent([], [], [], []) for name in scorers}
    with ThreadPoolExecutor(setting.clients) as pool:
        for round_ in range(rounds + 1):
            before = limits.pace()
            for name, score in scorers.items():
                found = _serve(score, setting, pool)
                after = limits.pace()
                if round_:
                    _keep(spent[name], found, between(before, after))
                before = after
            progress(round_)
    return spent


def _keep(spent: Spent, found: Spent, pace: Pace) -> None:
    spent.requests.extend(found.requests)
    spent.whole.extend(found.whole)
    spent.scores.extend(found.scores)
    spent.paces.append(pace)


def _serve(score: Score, setting: Setting, pool: ThreadPoolExecutor) -> Spent:
    def request(_: int) -> tuple[float, list[float]]:
        began = time.perf_counter()
        scores = score(QUERY, setting.passages)
        return time.perf_counter() - began, scores

    began = time.perf_counter()
    if setting.clients == 1:  # in this thread: torch keeps its own threads for each that calls it
        answers = [request(0)]
    else:
        answers = list(pool.map(request, range(setting.clients * REQUESTS_PER_CLIENT)))
    whole = time.perf_counter() - began
    return Spent([seconds for seconds, _ in answers], [whole], [scores for _, scores in answers], [])


def _rows(model: str, config: Any, setting: Setting, spent: dict[str, Spent]) -> list[Row]:
    rate = {name: len(s.requests) / len(s.whole) / median(s.whole) for name, s in spent.items()}
    expected = np.array(spent[BASELINE].scores[0])
    return [
        Row(
            name=name,
            model=model,
            candidates=len(setting.passages),
            clients=setting.clients,
            median_ms=round(1000 * median(s.requests), 1),
            p99_ms=round(1000 * float(np.quantile(s.requests, 0.99)), 1),
            requests_per_second=round(rate[name], 2),
            speedup=round(rate[name] / rate[BASELINE], 2),
            max_score_difference=float(np.abs(np.array(s.scores) - expected).max()),
            top5_overlap=round(float(np.mean([_overlap(expected, np.array(scores)) for scores in s.scores])), 3),
            **_of_limit(config, name, setting, s),
        )
        for name, s in spent.items()
    ]


def _of_limit(config: Any, name: str, setting: Setting, spent: Spent) -> dict[str, Any]:
    """The fields of a row that compare it with the limits of its own rounds."""
    whole, computed = _work(config, name, setting.lengths)
    found, done = share(whole, spent.paces, spent.each()), part(computed, whole, spent.paces)
    return {"gemm_share": round(found, 3), "gemm_computed": round(done, 3), "gemm_note": note(found, done)}


def _work(config: Any, name: str, lengths: Sequence[int]) -> tuple[Operations, Operations]:
    """Of the whole model in that contender's precision, and of what it computes."""
    rounded = name == OURS[1]
    return operations(config, lengths, int8=rounded), operations(config, lengths, int8=rounded, first_only=name in OURS)


def _overlap(expected: Any, found: Any) -> float:
    first, second = (set(np.argsort(-scores)[:KEPT].tolist()) for scores in (expected, found))
    return len(first & second) / len(first)

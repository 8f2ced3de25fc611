"""The service over loopback, in a process of its own: what it answers at saturation, against a plain one, and its cost.

    uv run python tests/bench/serving.py [--clients 32] [--seconds 300] [--deadlines 15000,5000,1000] [--json]
    uv run --group dev python tests/bench/serving.py --against [--clients 8] [--rounds 7] [--json]
    uv run python tests/bench/serving.py --overhead [--json]

Without a mode, `clients` send searches, questions and rerank requests in turn, none twice and no score remembered,
each as soon as the last is answered, with the deadlines in turn. Then every answer is computed again, one at a time in
this process: a full one has to be equal to that, a partial one to what the same code makes where the reranker scores
as many candidates. `--against` sends rerank requests of 20 passages to the service (float32 and int8) and to a plain
FastAPI application around one sentence-transformers CrossEncoder of the same weights, round by round. `--overhead`
compares a search over HTTP with the same call in this process, one at a time, in turn. Exit code 1 where a request is
lost or an answer is another than its serial one.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import httpx
import numpy as np
import serving_against
import serving_overhead
from rich.progress import track
from service_process import Served, service
from serving_requests import COLLECTIONS, Asked, indexed, requests_of
from serving_serial import Serial

DEADLINES_MS = [15_000.0, 5_000.0, 1_000.0]
SAMPLE_S = 1.0
REFUSED = {429, 422, 400, 413}  # told to come again, or that it cannot be read in time
SLACK = 1.2  # of a deadline, for the 99th percentile


class Answered(NamedTuple):
    """`status` None: the request was lost; `seconds` from sending to the last byte."""

    asked: Asked
    status: int | None
    body: Any
    seconds: float


async def load(address: str, clients: int, seconds: float, deadlines: list[float]) -> list[Answered]:
    """Every client sends its next request when the last one is answered."""
    asking, answers = requests_of(deadlines), list[Answered]()
    for _ in range(3):  # one of each kind: what they are made from has been read then
        next(asking)
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as client:

        async def send() -> None:
            while time.monotonic() < until:
                answers.append(await answered(client, next(asking)))

        await asyncio.gather(*(send() for _ in range(clients)))
    return answers


async def answered(client: httpx.AsyncClient, asked: Asked) -> Answered:
    began = time.monotonic()
    try:
        answer = await client.post(asked.path, json=asked.body, headers=asked.headers)
        return Answered(asked, answer.status_code, answer.json(), time.monotonic() - began)
    except (httpx.TransportError, ValueError) as error:
        return Answered(asked, None, repr(error), time.monotonic() - began)


async def watch_memory(served: Served, sizes: list[int]) -> None:
    while True:
        sizes.append(served.resident_bytes())
        await asyncio.sleep(SAMPLE_S)


async def saturate(served: Served, given: argparse.Namespace) -> tuple[list[Answered], list[int]]:
    """All answers, and the server's resident bytes second by second."""
    sizes: list[int] = []
    watching = asyncio.create_task(watch_memory(served, sizes))
    answers = await load(served.address, given.clients, given.seconds, given.deadlines)
    watching.cancel()
    return answers, sizes


def outcome(answer: Answered) -> str:
    """`full`, `partial`, ... of what was answered, `429` and the like of what was refused, `lost` of the rest."""
    if answer.status == 200:
        return "full" if answer.asked.kind == "rerank" else str(answer.body["rerank_status"])
    return str(answer.status) if answer.status in REFUSED else "lost"


def compare(answers: list[Answered], serial: Serial) -> list[str]:
    """What differs from its serial answer."""
    given = [answer for answer in answers if answer.status == 200]
    shown = track(given, "one at a time", disable=not sys.stderr.isatty())
    told = ((answer, serial.difference(answer.asked, answer.body)) for answer in shown)
    return [f"{answer.asked.kind} {outcome(answer)}: {what}" for answer, what in told if what]


def memory(sizes: list[int]) -> dict[str, float]:
    """Mean megabytes of the second minute and of the last, where it ran for three."""
    mean = {name: fmean(part) / 1e6 for name, part in (("second", sizes[60:120]), ("last", sizes[-60:])) if part}
    if len(sizes) < 180:
        return {"last_mb": round(mean["last"], 1)}
    growth = mean["last"] / mean["second"] - 1
    return {f"{name}_minute_mb": round(size, 1) for name, size in mean.items()} | {"growth": round(growth, 4)}


def by_deadline(answers: list[Answered]) -> dict[str, dict[str, float]]:
    """Of each deadline, in milliseconds: percentiles, and the 99th over the deadline."""
    found = {}
    for deadline in sorted({answer.asked.deadline_ms for answer in answers}):
        took = [answer.seconds * 1_000 for answer in answers if answer.asked.deadline_ms == deadline]
        p50, p99 = np.percentile(took, [50, 99])
        found[f"{deadline:g}"] = {"p50": round(p50, 1), "p99": round(p99, 1), "p99_over": round(p99 / deadline, 3)}
    return found


def figures(answers: list[Answered], sizes: list[int], different: list[str], given: argparse.Namespace) -> Any:
    ended = Counter((answer.asked.kind, outcome(answer)) for answer in answers)
    return {
        "clients": given.clients,
        "seconds": given.seconds,
        "cores": os.cpu_count(),
        "requests": len(answers),
        "per_second": round(len(answers) / given.seconds, 1),
        "lost": sum(count for (_, how), count in ended.items() if how == "lost"),
        "ended": {f"{kind} {how}": count for (kind, how), count in sorted(ended.items())},
        "shares": {how: round(count / len(answers), 4) for how, count in Counter(map(outcome, answers)).items()},
        "different": len(different),
        "by_deadline_ms": by_deadline(answers),
        "p99_within": all(one["p99_over"] <= SLACK for one in by_deadline(answers).values()),
        "resident": memory(sizes),
        "examples": [*different[:5], *(str(a.body)[:300] for a in answers if outcome(a) == "lost")][:10],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument(
        "--deadlines", type=lambda text: [*map(float, text.split(","))], default=[15_000.0, 5_000.0, 1_000.0]
    )
    parser.add_argument("--against", action="store_true")
    parser.add_argument("--overhead", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round-seconds", type=float, default=10.0)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    os.environ["OVERFETCH_CACHED_SCORES"] = "0"
    with tempfile.TemporaryDirectory() as folder:
        if given.against:
            found = serving_against.run(Path(folder), given.clients, given.rounds, given.round_seconds)
        elif given.overhead:
            found = serving_overhead.run(Path(folder), given.calls)
        else:
            found = run(Path(folder), given)
    show(found, as_json=given.json)
    sys.exit(bool(found.get("lost") or found.get("different")))


def run(folder: Path, given: argparse.Namespace) -> Any:
    with indexed(folder) as workspace:
        sites = sorted({site for site, _ in COLLECTIONS})
        with service(sites, folder) as served:
            answers, sizes = asyncio.run(saturate(served, given))
        return figures(answers, sizes, compare(answers, Serial(workspace)), given)


def show(found: Any, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            show_rows(value)
        else:
            print(f"{name:16} {json.dumps(value) if isinstance(value, dict | list) else value}")


def show_rows(rows: list[dict[str, Any]]) -> None:
    print("| " + " | ".join(rows[0]) + " |")
    print("|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row.values())) + " |")


if __name__ == "__main__":
    main()

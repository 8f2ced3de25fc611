"""500 asks at once against a language model that is slow, limits, fails, cuts off and talks nonsense in stated shares.

    python tests/bench/concurrent_asks.py [--asks 500] [--streamed 0.5] [--fake]

Every ask must end in an answer (written or extractive, labelled) or a typed error, none may hang, and the event loop
must stay free: its lag is how much later than asked for a 5 ms sleep ends. Real models (the mini profile), sample
corpus, a store in a temporary folder; `--fake` takes fakes for models and store. The server runs in its own process.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai_server

from overfetch import Answer, Engine, LanguageModel, OverfetchError, load_site, open_site
from overfetch.judged import read_judged_queries
from overfetch.testing import open_fake

SHARES = {"slow": 0.2, "limited": 0.1, "failing": 0.1, "cut": 0.1, "malformed": 0.1, "nonsense": 0.05}
TICK_S = 0.005


async def ask(engine: Engine, question: str, streamed: bool) -> tuple[str, str]:
    """(how it ended, why)."""
    try:
        if not streamed:
            answer = await engine.ask_async(question)
        else:
            pieces = [piece async for piece in engine.ask_stream(question)]
            assert isinstance(pieces[-1], Answer)
            answer = pieces[-1]
    except OverfetchError as error:
        return type(error).__name__, str(error)
    return answer.mode, answer.reason or ""


async def watch_lag(lags: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(TICK_S)
        lags.append((time.perf_counter() - began - TICK_S) * 1000)


async def run(engine: Engine, questions: list[str], asks: int, streamed: float) -> dict[str, Any]:
    lags: list[float] = []
    probe = asyncio.create_task(watch_lag(lags))
    began = time.perf_counter()
    chosen = [(questions[n % len(questions)], (n * streamed) % 1 + streamed >= 1) for n in range(asks)]
    ended = await asyncio.gather(*(ask(engine, question, stream) for question, stream in chosen))
    elapsed = time.perf_counter() - began
    probe.cancel()
    lags.sort()
    return {
        "asks": asks,
        "streamed": sum(stream for _, stream in chosen),
        "ended": dict(Counter(how for how, _ in ended)),
        "reasons": dict(Counter(reason_kind(why) for how, why in ended if how != "lm")),
        "seconds": round(elapsed, 1),
        "lag_ms": {
            "p50": round(lags[len(lags) // 2], 2),
            "p99": round(lags[len(lags) * 99 // 100], 1),
            "max": round(lags[-1], 1),
        },
    }


def reason_kind(reason: str) -> str:
    """The reason without address and numbers."""
    for kind in ("LMRateLimitError", "LMServerError", "LMTransportError", "no answer in", "no readable form"):
        if kind in reason:
            return kind
    return " ".join(reason.split()[:12])


@contextlib.contextmanager
def opened(fake: bool) -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OVERFETCH_QDRANT"] = f"file:{folder}"
        if fake:
            yield open_fake(load_site("builddaily"))
            return
        with open_site("builddaily") as engine:
            engine.index("chat")
            yield engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asks", type=int, default=500)
    parser.add_argument("--streamed", type=float, default=0.5, help="share of asks that stream")
    parser.add_argument("--timeout", type=float, default=20.0, help="seconds that a request may take")
    parser.add_argument("--fake", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    judged = load_site("builddaily").collection("chat").judged or Path()
    questions = [q.text for split in ("dev", "test") for q in read_judged_queries(judged, split).queries]
    faults = [text for fault, share in SHARES.items() for text in (f"--{fault}", str(share))]
    with openai_server.running(*faults) as address, opened(given.fake) as engine:
        engine.lm = LanguageModel(name="openai/rules", api_base=address, timeout_s=given.timeout)
        engine.warm_up()
        # As a service does once it has started: a full collection would walk over all that was loaded, and stop
        # every thread meanwhile.
        gc.collect()
        gc.freeze()
        result = asyncio.run(run(engine, questions, given.asks, given.streamed))
    print(json.dumps({"shares": SHARES, "cores": os.cpu_count(), **result}, indent=1))


if __name__ == "__main__":
    main()

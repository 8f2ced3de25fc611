"""What clients see of a fault, each injected under a light load: answers and statuses, and the time to recover.

    uv run python tests/bench/serving_faults.py [--only "store moved away"] [--seconds 5] [--json]

Two workers of the real service on builddaily's sample, a language model in this process that follows rules, caches
on a disk of 24 MB (where one can be mounted). Clients search, ask, and ask with streaming. `serving_injected.py` starts
the service and wraps the reranker; all other faults come from outside (`fault_injection.py`). The last column counts
what no fault may show: a 500, or a request without an end; where there is one, the exit code is 1.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import serving_injected
from fault_injection import FAULTS, World, caches_on_small_disk, models_of_its_own, worker_ids
from openai_server import ChatServer
from service_process import Served, service
from serving_requests import queries

SITE, COLLECTION = "builddaily", "chat"
PAUSE_S, PATIENCE_S, RECOVERY_S = 0.2, 15.0, 60.0
KINDS = ("search", "ask", "stream")
CLOCK = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Seen(NamedTuple):
    """One request: when it was sent and ended, and what came."""

    sent: float
    ended: float
    kind: str
    what: str

    @property
    def is_bad(self) -> bool:
        return self.what.startswith("500") or "Timeout" in self.what


class Load:
    """Clients that go on until they are stopped."""

    def __init__(self, address: str) -> None:
        self.seen: list[Seen] = []
        self._address = address
        self._asking = queries()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._client(kind)) for kind in ("search", *KINDS)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _client(self, kind: str) -> None:
        async with httpx.AsyncClient(base_url=self._address, timeout=PATIENCE_S) as client:
            while True:
                sent = time.monotonic()
                what = await self._ask(client, kind)
                self.seen.append(Seen(sent, time.monotonic(), kind, what))
                await asyncio.sleep(PAUSE_S)

    async def _ask(self, client: httpx.AsyncClient, kind: str) -> str:
        verb, name = ("search", "query") if kind == "search" else ("ask", "question")
        headers = {"Accept": "text/event-stream"} if kind == "stream" else {}
        place = f"/v1/{SITE}/{COLLECTION}/{verb}"
        try:
            answer = await client.post(place, json={name: next(self._asking)}, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return _told(answer)


def _told(answer: httpx.Response) -> str:
    """`200 full`, `200 full lm`, `503 StoreUnavailable`, `200 error ...` of a stream that ended in one."""
    text = answer.text
    if "event-stream" in answer.headers.get("Content-Type", ""):
        event, _, data = text.strip().split("\n\n")[-1].partition("\n")
        body = json.loads(data.removeprefix("data: ")) if data.startswith("data: ") else {}
        if event != "event: answer":
            return f"200 {event.removeprefix('event: ')} {body.get('type', '')}"
    else:
        body = json.loads(text) if text else {}
    if answer.status_code != 200:
        return f"{answer.status_code} {body.get('type', '')}"
    return " ".join(["200", body["rerank_status"], body.get("mode", "")]).strip()


async def inject(name: str, world: World, seconds: float) -> dict[str, Any]:
    """A row: what was seen while the fault lasted, and how long after its end everything was as before."""
    load = Load(world.served.address)
    async with load.running():
        await _usual(load)
        began = time.monotonic()
        async with FAULTS[name](world) as note:
            await asyncio.sleep(seconds)
        ended = time.monotonic()
        recovered = await _recovery(load, began, ended)
    during = [one for one in load.seen if one.ended >= began and one.sent <= ended]
    return {
        "fault": name,
        "seen": dict(Counter(f"{one.kind}: {one.what}" for one in during).most_common()),
        "slowest_s": round(max((one.ended - one.sent for one in during), default=0.0), 1),
        "recovered_s": recovered,
        "bad": sum(one.is_bad for one in load.seen),
        "note": "; ".join(note),
    }


async def _usual(load: Load) -> None:
    """Each kind is answered in full: what will be recovered to is known then."""
    until = time.monotonic() + RECOVERY_S
    while len({one.kind for one in load.seen if one.what.startswith("200 full")}) < len(KINDS):
        if time.monotonic() > until:
            raise RuntimeError(f"it does not serve as it should before any fault: {load.seen[-5:]}")
        await asyncio.sleep(PAUSE_S)


async def _recovery(load: Load, began: float, ended: float) -> float | None:
    """Seconds from the fault's end to the last unusual answer's end, once each kind was answered as before again."""
    usual = {(one.kind, one.what) for one in load.seen if one.ended < began and one.what.startswith("200 full")}
    while time.monotonic() < ended + RECOVERY_S:
        await asyncio.sleep(PAUSE_S)
        after = [one for one in load.seen if one.sent > ended]
        last = {kind: [one for one in after if one.kind == kind][-3:] for kind in KINDS}
        if all(len(of) == 3 and all((one.kind, one.what) in usual for one in of) for of in last.values()):
            unusual = [one.ended for one in load.seen if one.ended > ended and (one.kind, one.what) not in usual]
            return round(max(unusual, default=ended) - ended, 2)
    return None


async def run(folder: Path, names: Sequence[str], seconds: float) -> list[dict[str, Any]]:
    model = ChatServer({}, delay=0.02, slow=30.0)
    listening = await asyncio.start_server(model.handle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    variables = {
        "OVERFETCH_LM": "openai/rules",
        "OVERFETCH_LM_API_BASE": f"http://127.0.0.1:{port}/v1",
        "OVERFETCH_LM_RETRIES": "0",
        "OVERFETCH_LM_TIMEOUT_S": "3",
        "OVERFETCH_SERVE_REQUESTS_PER_MINUTE": "100000",
        serving_injected.VARIABLE: str(folder),
        **models_of_its_own(folder),
    }
    rows = []
    with caches_on_small_disk(folder) as caches:
        for name in names:
            variables_of_it = {**variables, **caches, **(_fake_clock(folder) if name == "clock jump" else {})}
            async with _served(folder, variables_of_it) as served:
                with contextlib.ExitStack() as ends:
                    rows.append(await inject(name, World(served, folder, model, ends), seconds))
                print(f"{name}: {rows[-1]}", file=sys.stderr)
    listening.close()
    return rows


@asynccontextmanager
async def _served(folder: Path, variables: dict[str, str]) -> AsyncIterator[Served]:
    """Started and ended beside the loop, in which the language model answers."""
    command = (serving_injected.__file__,)
    manager = service([SITE], folder, "--workers", "2", command=command, **variables)
    served = await asyncio.to_thread(manager.__enter__)
    try:
        while len(worker_ids(served)) < 2:
            await asyncio.sleep(0.1)
        yield served
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


def _fake_clock(folder: Path) -> dict[str, str]:
    (folder / "clock").write_text("+0")
    faked = {"TIMESTAMP_FILE": str(folder / "clock"), "NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(CLOCK), **{f"FAKETIME_{name}": value for name, value in faked.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=FAULTS)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    names = given.only or [*FAULTS]
    if not CLOCK.exists() and "clock jump" in names:
        names = [name for name in names if name != "clock jump"]
        print("clock jump: left out, since faketime is not installed (apt-get install faketime)", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        rows = asyncio.run(run(Path(folder), names, given.seconds))
    print(json.dumps({"cores": os.cpu_count(), "faults": rows}) if given.json else table(rows))
    sys.exit(any(row["bad"] for row in rows))


def table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| fault | clients saw | slowest | recovered after | 500s and no end |", "|---|---|---|---|---|"]
    for row in rows:
        seen = ", ".join(f"{count} {what}" for what, count in row["seen"].items())
        after = "not" if row["recovered_s"] is None else f"{row['recovered_s']} s"
        told = f" ({row['note']})" if row["note"] else ""
        lines.append(f"| {row['fault']} | {seen}{told} | {row['slowest_s']} s | {after} | {row['bad']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()

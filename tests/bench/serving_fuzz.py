"""Fuzzed requests at the service, over its OpenAPI and by hand: no 500, no crash, nothing of another key's site.

    uv run python tests/bench/serving_fuzz.py [--requests 20000] [--seed 0] [--json]

Half of the requests schemathesis makes from the description of each route, allowed and not; the others are valid ones
of which a value, the path, a header or the whole body was replaced by something hostile. All are sent with a key that
knows one of two sites, or with a broken one. The other site's texts hold a word that no answer may contain. Exit code 1
where a request ends in a 5xx (a 504 apart) or in no answer, or where the word is seen.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import hostile
import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from rich.progress import Progress
from schemathesis import APIOperation, Case, GenerationMode
from service_process import service

from overfetch_serve.keys import Keys

OWN, OTHER, COLLECTION = "ours", "theirs", "pages"
SECRET = "xylophagous"  # in every text of the other site
PATIENCE_S = 20.0
AS_FAILED = {424}  # how Text Embeddings Inference says what others say by 500
PAGE = "# {title}\n\n{word} boats leave the harbour of {title} at nine, and nobody knows why they do.\n"


class Target(NamedTuple):
    """A service, the key that knows `OWN`, and the one that knows `OTHER`."""

    address: str
    key: str
    others_key: str

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


class Found:
    """What came back, by status, and what must not have."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []
        self.leaks: list[str] = []

    def add(self, asked: str, status: int | None, body: bytes, *, may_hang_up: bool = False) -> None:
        """`status` is None where the connection was closed without an answer."""
        self.statuses["closed" if status is None else str(status)] += 1
        failed = status is not None and (status >= 500 or status in AS_FAILED) and status != 504
        if failed or (status is None and not may_hang_up):
            self.faults.append(f"{status} {asked[:300]} -> {body[:200]!r}")
        if SECRET.encode() in body:
            self.leaks.append(f"{status} {asked[:300]}")

    @property
    def is_clean(self) -> bool:
        return not self.faults and not self.leaks


def fuzz(target: Target, number: int, seed: int = 0) -> Found:
    """Sends so many requests, and then one that has to be answered."""
    found = Found()
    with Progress(disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("requests", total=number)
        for _ in [*_crossing(target, found)]:
            progress.advance(task)
        for _ in _described(target, number // 2, seed, found):
            progress.advance(task)
        for _ in _by_hand(target, number // 2, seed, found):
            progress.advance(task)
    asked = requests.post(_search(target, OWN), headers=target.headers(), json={"query": "boats"}, timeout=PATIENCE_S)
    found.add("a usual search, last", asked.status_code if asked.ok else None, asked.content)
    return found


def _search(target: Target, site: str) -> str:
    return f"{target.address}/v1/{site}/{COLLECTION}/search"


def _crossing(target: Target, found: Found) -> Iterator[None]:
    """Every route that names a site, with the key of the other; and that the other key sees the word."""
    control = requests.post(
        _search(target, OTHER), headers={"X-API-Key": target.others_key}, json={"query": "boats"}, timeout=PATIENCE_S
    )
    assert SECRET in control.text, control.text
    for asked in hostile.of_another_site(OTHER, COLLECTION):
        answer = requests.request(
            asked.method, target.address + asked.path, headers=target.headers(), json=asked.body, timeout=PATIENCE_S
        )
        told = f"{asked.method} {asked.path} {json.dumps(asked.body)}"
        found.add(told, answer.status_code, answer.content)
        if asked.refused and answer.status_code != 404:
            found.leaks.append(f"{answer.status_code} {told}")
        if OTHER not in told and OTHER in answer.text:
            found.leaks.append(f"names the other site: {told}")
        yield


def _described(target: Target, number: int, seed: int, found: Found) -> Iterator[None]:
    """Of each route as many, half of them allowed by its description."""
    description = requests.get(f"{target.address}/openapi.json", timeout=PATIENCE_S).json()
    found_operations: list[Any] = [*schemathesis.openapi.from_dict(description).get_all_operations()]
    operations = [result.ok() for result in found_operations]
    each = max(1, number // (2 * len(operations)))
    chance = random.Random(seed)
    with requests.Session() as session:
        for operation in operations:
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                for case in _cases(operation, mode, each, seed):
                    _send_case(case, target, chance, session, found)
                    yield


def _cases(
    operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, number: int, seed: int
) -> list[Case[Any]]:
    cases: list[Case[Any]] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(operation.as_strategy(mode))
    def collect(case: Case[Any]) -> None:
        cases.append(case)

    try:
        collect()
    except Unsatisfiable:  # nothing about the route can be wrong
        return []
    return cases


def _send_case(case: Case[Any], target: Target, chance: random.Random, session: requests.Session, found: Found) -> None:
    places: dict[str, Any] = case.path_parameters or {}
    if "site" in places:
        places["site"] = chance.choice([OWN, OWN, OTHER, places["site"]])
    if "collection" in places:
        places["collection"] = chance.choice([COLLECTION, COLLECTION, COLLECTION, places["collection"]])
    try:
        sent = case.as_transport_kwargs(base_url=target.address)
        if chance.random() < 0.9:
            sent["headers"] = {**sent["headers"], **target.headers()}
        answer = session.request(**sent, timeout=PATIENCE_S, allow_redirects=False)
    except requests.ConnectionError as error:
        found.add(f"{case.method} {case.formatted_path} {case.body!r}", None, repr(error).encode())
    except (requests.RequestException, ValueError):
        found.statuses["not sent"] += 1  # no client could
    else:
        found.add(f"{case.method} {case.formatted_path} {case.body!r}", answer.status_code, answer.content)


def _by_hand(target: Target, number: int, seed: int, found: Found) -> Iterator[None]:
    chance = random.Random(seed)
    for _ in range(number):
        asked = hostile.request(chance, target.key, target.others_key[: len(target.key) // 2], OWN, OTHER, COLLECTION)
        status, body = hostile.send(target.address, asked, PATIENCE_S)
        found.add(repr(asked), status, body, may_hang_up=asked.broken)
        yield


def make_sites(folder: Path) -> tuple[str, str]:
    """Two folders of pages, and in `keys.json` a key for each."""
    for site, word in ((OWN, "Wooden"), (OTHER, SECRET)):
        (folder / site).mkdir()
        for title in ("Hydra", "Poros", "Spetses"):
            (folder / site / f"{title}.md").write_text(PAGE.format(title=title, word=word))
    keys = Keys(folder / "keys.json")
    (_, key), (_, others) = (keys.add([site], ["search", "ask", "rerank"]) for site in (OWN, OTHER))
    return key, others


@contextmanager
def target_in(folder: Path) -> Iterator[Target]:
    """A service of both, in a process of its own."""
    key, others = make_sites(folder)
    variables = {"OVERFETCH_SERVE_KEYS": str(folder / "keys.json"), "OVERFETCH_SERVE_BODY_TIMEOUT_S": "0.5"}
    with service([str(folder / OWN), str(folder / OTHER)], folder, **variables) as served:
        yield Target(served.address, key, others)
        assert served.process.poll() is None, "the service has ended"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, target_in(Path(folder)) as target:
        found = fuzz(target, given.requests, given.seed)
    show(found, as_json=given.json)
    sys.exit(not found.is_clean)


def show(found: Found, *, as_json: bool) -> None:
    statuses = dict(sorted(found.statuses.items()))
    if as_json:
        figures = {"requests": found.statuses.total(), "statuses": statuses}
        print(json.dumps({**figures, "faults": found.faults, "leaks": found.leaks}))
        return
    print(f"{found.statuses.total():,} requests, {len(found.faults)} faults, {len(found.leaks)} leaks")
    for status, count in statuses.items():
        print(f"  {status:8} {count:7,}")
    for line in [*found.faults, *found.leaks][:50]:
        print(line)


if __name__ == "__main__":
    main()

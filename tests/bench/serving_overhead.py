"""What HTTP adds to a search: the median over the call in this process, one after the other, in turn."""

import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from service_process import service
from serving_requests import COLLECTIONS, indexed, queries

from overfetch.documents import RetrievalDocument

WARM_UP = 20


def run(folder: Path, calls: int) -> dict[str, Any]:
    """Each query is asked in both ways, first in the one and then in the other by turns."""
    site, collection = COLLECTIONS[0]
    asking, took = queries(), {"http": list[float](), "in_process": list[float]()}
    with (
        indexed(folder) as workspace,
        service([site], folder) as served,
        httpx.Client(base_url=served.address) as client,
    ):
        engine = workspace.site(site)

        def over_http(query: str) -> object:
            return client.post(f"/v1/{site}/{collection}/search", json={"query": query}).raise_for_status()

        def in_process(query: str) -> object:
            return RetrievalDocument.of(engine.search(collection, query, deadline_ms=5_000)).model_dump_json()

        ways = [("http", over_http), ("in_process", in_process)]
        for number in range(calls + WARM_UP):
            query = next(asking)
            for name, way in ways if number % 2 else reversed(ways):
                began = time.perf_counter()
                way(query)
                if number >= WARM_UP:
                    took[name].append((time.perf_counter() - began) * 1_000)
    middle = {name: median(times) for name, times in took.items()}
    added = median(http - own for http, own in zip(took["http"], took["in_process"], strict=True))
    return {
        "calls": calls,
        **{f"{name}_p50_ms": round(value, 2) for name, value in middle.items()},
        "p50_over_p50_ms": round(middle["http"] - middle["in_process"], 2),
        "median_difference_ms": round(added, 2),
    }

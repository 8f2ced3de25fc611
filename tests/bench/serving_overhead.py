"""What HTTP adds to a search: the median over the call in this process, one after the other, in turn.

The client is the standard library's, on one connection: others add their own cost. Without reranking, so that the
difference is not lost in the noise of what takes ten times as long.
"""

import json
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

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
        closing(HTTPConnection(served.address.removeprefix("http://"))) as client,
    ):
        engine = workspace.site(site)

        def over_http(query: str) -> object:
            body = json.dumps({"query": query, "rerank": False})
            client.request("POST", f"/v1/{site}/{collection}/search", body, {"Content-Type": "application/json"})
            answer = client.getresponse()
            text = answer.read()
            assert answer.status == 200, text
            return text

        def in_process(query: str) -> object:
            return RetrievalDocument.of(
                engine.search(collection, query, rerank=False, deadline_ms=5_000)
            ).model_dump_json()

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

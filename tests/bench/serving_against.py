"""`/v2/rerank` against a plain application around one CrossEncoder of sentence-transformers: the same weights, in turn.

The weights are those of `overfetch bench rerank` (`minilm-l6`: the real encoder, a random head), which both can read.
The same requests are also scored without HTTP, by as many threads as there are clients: what is left of that is what
the service itself costs. Run as a program, this is either server: `serving_against.py plain|service FOLDER PORT`.
"""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from service_process import free_port
from serving_requests import DOCUMENTS, rerank_bodies

from overfetch import Environment, Workspace
from overfetch.inference.onnx import OnnxReranker
from overfetch.models import ModelSpec
from overfetch_serve import create_app
from overfetch_serve.running import server_options
from overfetch_serve.settings import ServiceSettings
from overfetch_serve.vendors.ranking import Ranker

MODEL, MAX_TOKENS = "minilm-l6", 512
PLAIN, OURS = "plain", ("fp32", "int8")
DEADLINE_MS = "60000"  # so that all is answered in full
TOLERANCE = 2e-3  # of a score of float32


class Body(BaseModel):
    model: str
    query: str
    documents: list[str]


def plain(folder: Path) -> FastAPI:
    """As tutorials write it: a function route, which Starlette runs in a thread, and one model for all."""
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder / "source"), max_length=MAX_TOKENS, device="cpu")
    app = FastAPI()

    @app.post("/v2/rerank")
    def rerank(asked: Body) -> dict[str, Any]:
        scores = model.predict([(asked.query, text) for text in asked.documents], show_progress_bar=False).tolist()
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return {"results": [{"index": place, "relevance_score": scores[place]} for place in order]}

    return app


def ours(folder: Path) -> FastAPI:
    """The service with these weights beside the models of its profile."""
    workspace = Workspace(Environment(qdrant=f"file:{folder / 'store'}"))
    app = create_app(["builddaily"], workspace=workspace, settings=ServiceSettings(state=folder / "state"))
    rankers = app.state.service.catalogue.rankers
    usual = next(iter(rankers.values()))
    for precision in OURS:
        rankers[precision] = Ranker(usual.embedder, OnnxReranker(folder / precision, _spec(precision)))
    return app


def _spec(precision: str) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": f"{MODEL}-{precision}",
            "kind": "reranker",
            "repo": f"random/{MODEL}",
            "revision": "seed-7",
            "licence": "none",
            "max_tokens": MAX_TOKENS,
            "languages": ("en",),
            "precision": precision,
        }
    )


def make(folder: Path) -> None:
    """The weights as sentence-transformers read them, and both exports. In a process of its own: it imports torch."""
    from overfetch.benchmarks.contenders import make_model
    from overfetch.inference.quantising import export_exact, export_int8

    model = make_model(MODEL, folder / "source")
    for precision, export in zip(OURS, (export_exact, export_int8), strict=True):
        export(model, folder / "source" / "tokenizer.json", _spec(precision), folder / precision)


@contextmanager
def running(which: str, folder: Path) -> Iterator[str]:
    port = free_port()
    line = [sys.executable, __file__, which, str(folder), str(port)]
    with subprocess.Popen(line) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            _await(address, process)
            yield address
        finally:
            process.terminate()


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    while True:
        assert process.poll() is None, "the server ended"
        try:
            httpx.get(f"{address}/openapi.json", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return


async def serve_round(address: str, bodies: Iterator[dict[str, Any]], clients: int, seconds: float) -> dict[str, float]:
    """Requests a second answered in full, and milliseconds; a request counts where it ends in time."""
    took, failed, began = list[float](), 0, time.monotonic()
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:

        async def send() -> None:
            nonlocal failed
            while (sent := time.monotonic()) < began + seconds:
                answer = await client.post(
                    "/v2/rerank", json=next(bodies), headers={"Overfetch-Deadline-Ms": DEADLINE_MS}
                )
                whole = answer.status_code == 200 and len(answer.json()["results"]) == DOCUMENTS
                failed += not whole
                if whole:
                    took.append(time.monotonic() - sent)

        await asyncio.gather(*(send() for _ in range(clients)))
    elapsed = time.monotonic() - began
    return {"per_second": len(took) / elapsed, "p50_ms": median(took or [0.0]) * 1_000, "failed": failed}


def ask_round(
    address: str, model: str, bodies: Iterator[dict[str, Any]], clients: int, seconds: float
) -> dict[str, float]:
    return asyncio.run(serve_round(address, ({**body, "model": model} for body in bodies), clients, seconds))


def score_round(
    reranker: OnnxReranker, bodies: Iterator[dict[str, Any]], clients: int, seconds: float
) -> dict[str, float]:
    """As `serve_round`, by threads of this process."""
    taking, began = threading.Lock(), time.monotonic()

    def score(_: int) -> list[float]:
        took = list[float]()
        while (asked := time.monotonic()) < began + seconds:
            with taking:
                body = next(bodies)
            reranker.score(body["query"], body["documents"])
            took.append(time.monotonic() - asked)
        return took

    with ThreadPoolExecutor(clients) as pool:
        took = [one for each in pool.map(score, range(clients)) for one in each]
    return {"per_second": len(took) / (time.monotonic() - began), "p50_ms": median(took) * 1_000, "failed": 0}


def run(folder: Path, clients: int, rounds: int, seconds: float) -> dict[str, Any]:
    """Each contender once a round; the first round warms up and does not count."""
    subprocess.run([sys.executable, __file__, "make", str(folder), "0"], check=True)
    bodies = rerank_bodies()
    with ExitStack() as stack:
        theirs, own = (stack.enter_context(running(which, folder)) for which in (PLAIN, "service"))
        contenders = {PLAIN: theirs, **dict.fromkeys(OURS, own)}
        furthest = _agreement(contenders, next(bodies))
        rounds_of: dict[str, Callable[[float], dict[str, float]]] = {
            name: partial(ask_round, address, name, bodies, clients) for name, address in contenders.items()
        }
        for name in OURS:
            reranker = OnnxReranker(folder / name, _spec(name))
            rounds_of[f"{name} in process"] = partial(score_round, reranker, bodies, clients)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in rounds_of}
        for number in range(rounds + 1):
            for name, measured in rounds_of.items():
                served = measured(seconds if number else min(seconds, 3.0))
                if number:
                    found[name].append(served)
    return {
        "clients": clients,
        "documents": DOCUMENTS,
        "cores": os.cpu_count(),
        "threads": "each library's own number: as many as there are cores",
        "fp32_furthest_score": furthest,
        "lost": int(sum(one["failed"] for served in found.values() for one in served)),
        "contenders": [_row(name, found) for name in found],
    }


def _row(name: str, found: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    middle = {key: median(one[key] for one in found[name]) for key in ("per_second", "p50_ms")}
    over = [own["per_second"] / base["per_second"] for own, base in zip(found[name], found[PLAIN], strict=True)]
    row = {"contender": name, **{key: round(value, 2) for key, value in middle.items()}}
    return row | {"over plain": round(median(over), 2), "lowest": round(min(over), 2), "highest": round(max(over), 2)}


def _agreement(contenders: dict[str, str], body: dict[str, Any]) -> float:
    """How far a float32 score is from the plain application's; raises where they are not the same model."""
    scores = []
    for name in (PLAIN, OURS[0]):
        answer = httpx.post(
            f"{contenders[name]}/v2/rerank", json={**body, "model": name}, timeout=120
        ).raise_for_status()
        scores.append({one["index"]: one["relevance_score"] for one in answer.json()["results"]})
    furthest: float = max(abs(scores[0][place] - scores[1][place]) for place in range(DOCUMENTS))
    assert furthest < TOLERANCE, f"the scores lie {furthest} apart"
    return furthest


def main() -> None:
    which, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if which == "make":
        make(folder)
        return
    app = plain(folder) if which == PLAIN else ours(folder)
    options = {} if which == PLAIN else server_options(ServiceSettings(state=folder / "state"))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", **options)


if __name__ == "__main__":
    main()

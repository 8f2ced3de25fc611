"""What the service did, for Prometheus. With several workers the figures are the service's: each worker writes its own
into the folder that PROMETHEUS_MULTIPROC_DIR names, and whichever is asked adds them up.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from overfetch.figures import REMEMBERED, RUNS, SCORES, SEQUENCES, Figure
from overfetch.protocols import Generation
from overfetch.types import RerankStatus, Retrieval
from overfetch_serve.rates import UNSHARED

VERSION = version("overfetch-serve")
FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by the library when it is imported
KINDS = ("counter", "histogram", "gauge_livesum")  # of its files; each worker has one of each
ROOM = 1 << 20  # bytes of such a file: some 5,000 series
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one application."""

    def __init__(self) -> None:
        folder = _folder()
        if folder is not None:
            reserve(folder)
        own = self._own = CollectorRegistry()
        how = ["route", "status"]
        self._requests = Counter("overfetch_requests", "Requests answered.", how, registry=own)
        self._seconds = _histogram("overfetch_request_seconds", "From a request to its answer's end.", how, own)
        self._refused = Counter("overfetch_refused", "Requests answered by 429.", ["reason"], registry=own)
        self._stages = _histogram("overfetch_stage_seconds", "Stages of a search.", ["collection", "stage"], own)
        self._rerank = Counter("overfetch_rerank", "Second stages.", ["collection", "status"], registry=own)
        self._cut = Counter("overfetch_truncated_tokens", "Tokens not reranked.", ["collection"], registry=own)
        self._failed = Counter("overfetch_failed", "Searches without result.", ["collection", "error"], registry=own)
        self._waiting = _gauge("overfetch_requests_waiting", "Requests that wait for their turn.", own)
        self._working = _gauge("overfetch_requests_working", "Requests that are worked on.", own)
        self._growing = [
            _Growing(RUNS, Counter("overfetch_model_runs", "Runs of a model.", registry=own)),
            _Growing(SEQUENCES, Counter("overfetch_model_sequences", "Sequences read in those runs.", registry=own)),
            _Growing(SCORES, Counter("overfetch_scores", "Scores that were asked for.", registry=own)),
            _Growing(REMEMBERED, Counter("overfetch_scores_remembered", "Those that a cache knew.", registry=own)),
            _Growing(UNSHARED, Counter("overfetch_rates_unshared", "Requests counted by one worker.", registry=own)),
        ]

    def answered(self, route: str, status: int, seconds: float) -> None:
        self._requests.labels(route, status).inc()
        self._seconds.labels(route, status).observe(seconds)

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def retrieved(self, retrievals: Sequence[Retrieval]) -> None:
        """The parts of one question, which share their time."""
        for retrieval in retrievals:
            self.reranked(retrieval.collection, retrieval.rerank_status, retrieval.truncated_tokens)
        for stage, ms in retrievals[0].timings_ms:
            self._stages.labels(retrievals[0].collection, stage).observe(ms / 1_000)

    def reranked(self, collection: str, status: RerankStatus, truncated_tokens: int | None) -> None:
        """`collection` is what the passages belong to: a model's name where they came with the request."""
        self._rerank.labels(collection, status).inc()
        self._cut.labels(collection).inc(truncated_tokens or 0)

    def failed(self, collection: str, error: Exception) -> None:
        self._failed.labels(collection, type(error).__name__).inc()

    def sample(self, waiting: int, working: int) -> None:
        """What is read where it is, and not counted when it happens."""
        self._waiting.set(waiting)
        self._working.set(working)
        for growing in self._growing:
            growing.catch_up()

    def exposition(self, stored: Mapping[str, Sequence[Generation]], profile: str) -> bytes:
        """The text that Prometheus reads; `stored` are the generations of each collection, the live one first."""
        together, folder = CollectorRegistry(), _folder()
        if folder is None:
            together.register(_Uncreated(self._own))
        else:
            forget_the_dead(folder)
            MultiProcessCollector(together, str(folder))  # type: ignore[no-untyped-call]
        together.register(_Generations(stored))
        together.register(_Build(profile))
        return generate_latest(together)


class _Growing:
    """A counter that follows a figure of the core."""

    def __init__(self, figure: Figure, counter: Counter) -> None:
        self._figure = figure
        self._counter = counter
        self._counted = 0

    def catch_up(self) -> None:
        now = self._figure.value
        self._counter.inc(now - self._counted)
        self._counted = now


class _Uncreated(Collector):
    """A registry without the library's `..._created`, which double its series and which it leaves out of several
    workers' anyway.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class _Build(Collector):
    """What runs."""

    def __init__(self, profile: str) -> None:
        self._profile = profile

    def collect(self) -> Iterator[Metric]:
        built = GaugeMetricFamily("overfetch_build_info", "What runs: always 1.", labels=["version", "profile"])
        built.add_metric([VERSION, self._profile], 1)
        yield built


class _Generations(Collector):
    """Of the store, which all workers share."""

    def __init__(self, stored: Mapping[str, Sequence[Generation]]) -> None:
        self._stored = stored

    def collect(self) -> Iterator[Metric]:
        number = GaugeMetricFamily("overfetch_generations", "Generations stored.", labels=["collection"])
        passages = GaugeMetricFamily("overfetch_passages", "Passages of what is live.", labels=["collection"])
        made = GaugeMetricFamily(
            "overfetch_generation_created_seconds",
            "When what is live was made, in seconds since 1970: its age is time() less this.",
            labels=["collection"],
        )
        for collection, generations in self._stored.items():
            number.add_metric([collection], len(generations))
            lives = [generation for generation in generations if generation.state == "live"]
            if not lives:
                passages.add_metric([collection], 0)
            for live in lives:
                if live.passages is not None:
                    passages.add_metric([collection], live.passages)
                if live.provenance is not None:
                    created = datetime.fromisoformat(live.provenance.created)
                    made.add_metric([collection], created.timestamp())
        yield from (number, passages, made)


def share_between_workers(folder: Path) -> None:
    """Empties the folder and has the workers started from now on write there."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
    os.environ[FOLDER] = str(folder)


def reserve(folder: Path) -> None:
    """Room for this process's files: written through a map, a full disk would end the process. Raises OSError."""
    if not hasattr(os, "posix_fallocate"):
        return
    for kind in KINDS:
        with (folder / f"{kind}_{os.getpid()}.db").open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, ROOM)


def forget_the_dead(folder: Path) -> None:
    """What workers counted before they died stays counted; nothing waits there any more."""
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:
            pass


def _folder() -> Path | None:
    folder = os.environ.get(FOLDER)
    return Path(folder) if folder else None


def _histogram(name: str, told: str, labels: Sequence[str], registry: CollectorRegistry) -> Histogram:
    return Histogram(name, told, labels, buckets=SECONDS, registry=registry)


def _gauge(name: str, told: str, registry: CollectorRegistry) -> Gauge:
    return Gauge(name, told, registry=registry, multiprocess_mode="livesum")

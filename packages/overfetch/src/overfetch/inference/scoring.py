"""One scorer for all models, sites and requests of a process: a bounded queue, and a worker for each core.

What `overfetch.scheduling` lets go ahead is run first; all else in the order in which it comes.

A worker runs a few sequences at a time on one thread: no layer waits for the slowest core, as it does in one run
spread over all of them. Short sequences of whatever request share a run up to the model's token budget.
"""

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple, Protocol

from overfetch.errors import ModelError, Overloaded
from overfetch.figures import RUNS, SEQUENCES
from overfetch.forking import starting_over
from overfetch.inference.tokenizing import Tokens
from overfetch.leaving import at_work, whether_left
from overfetch.protocols import Vectors
from overfetch.scheduling import current, moving_average

CAPACITY = 4096  # sequences that may wait: some 200 requests of 20
MOST_WAITED = 0.5  # of the time that a request has, for others'
ENDING = "the process is ending"


class Runnable(Protocol):
    """A loaded model."""

    token_budget: int
    """Tokens that sequences may have together to share a run; 0: each runs alone."""

    def run(self, batch: Sequence[Tokens]) -> Vectors:
        """float32 [len(batch), outputs]."""


class Request:
    """The sequences of one caller, whose rows arrive in any order."""

    def __init__(self, model: Runnable, deadline: float | None, lock: threading.Lock) -> None:
        self.model = model
        self.rank = current()
        self.deadline = min((end for end in (deadline, self.rank.end) if end is not None), default=None)
        self.budget = 0 if self.rank.alone else model.token_budget
        self.rows: list[Vectors | None] = []
        self.missing = 0
        self.in_slices = False
        self.error: Exception | None = None
        self.is_answered = False
        self._left = whether_left()
        self.changed = threading.Condition(lock)

    @property
    def is_over(self) -> bool:
        """Nobody waits for the rest."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.is_answered or self.error is not None or self._left.is_set()

    def put(self, place: int, row: Vectors | None) -> None:
        """With the lock held."""
        self.rows[place] = row
        self.missing -= 1
        if not self.missing or self.in_slices:
            self.changed.notify()


class Job(NamedTuple):
    """One sequence, and whose."""

    request: Request
    place: int
    tokens: Tokens


_scorers: "weakref.WeakSet[Scorer]" = weakref.WeakSet()


class Scorer:
    """Safe to share between threads; its workers start with the first sequence."""

    def __init__(self, workers: int = 0, capacity: int = CAPACITY) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._capacity = capacity
        self._closed = self._ended = False
        self.start_over()
        starting_over(self)
        _scorers.add(self)

    def start_over(self) -> None:
        """As in a process just forked, which has neither the workers nor whoever held the lock."""
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._first: deque[Job] = deque()  # what little goes before all else
        self._queue: deque[Job] = deque()
        self._threads: list[threading.Thread] = []
        self._requests = 0
        self._pace: weakref.WeakKeyDictionary[Runnable, float] = weakref.WeakKeyDictionary()  # seconds a token

    def run(self, model: Runnable, sequences: Iterable[Tokens], deadline: float | None = None) -> list[Vectors | None]:
        """A row for each sequence, in the order given.

        None for those that `deadline` (`time.monotonic()`, or that of `overfetch.scheduling`) cut off, or that waited
        when the caller left; no rows at all where what waits already would take most of the time: whoever cannot be
        read in time learns it at once, and others are. Raises Overloaded where too many sequences wait, ModelError
        where the model fails. One that comes alone and has more sequences than may wait is read in slices, so that
        others find room.
        """
        with at_work():
            request = Request(model, deadline, self._lock)
            return [] if self._is_hopeless(request) else self._read(request, sequences)

    def _is_hopeless(self, request: Request) -> bool:
        if request.deadline is None or request.rank.first:
            return False
        with self._lock:
            waiting = sum(self._pace.get(job.request.model, 0.0) * len(job.tokens.ids) for job in self._queue)
        own = self._pace.get(request.model, 0.0) * request.rank.tokens
        left = self.workers * max(0.0, request.deadline - time.monotonic())
        return waiting > MOST_WAITED * left or waiting + own > left

    def _read(self, request: Request, sequences: Iterable[Tokens]) -> list[Vectors | None]:
        with self._lock:
            self._requests += 1
        try:
            for tokens in sequences:
                self._submit(request, tokens)
            with self._lock:
                self._wait(request, 0)
                rows = list(request.rows)
        finally:
            request.is_answered = True
            with self._lock:
                self._requests -= 1
        if request.error:
            raise ModelError(f"a model run failed: {request.error}") from request.error
        return rows

    def close(self) -> None:
        """Lets the workers go after the sequences that wait."""
        with self._lock:
            self._closed = True
            self._arrived.notify_all()

    def end(self) -> None:
        """Before the interpreter does: nobody is answered any more, and the workers are gone when this returns.

        A thread that the interpreter ends inside of a model run takes the process down.
        """
        with self._lock:
            self._ended = self._closed = True
            for queue in (self._first, self._queue):
                self._fail_all(queue, ModelError(ENDING))
                queue.clear()
            self._arrived.notify_all()
        for thread in self._threads:
            thread.join()

    def _submit(self, request: Request, tokens: Tokens) -> None:
        with self._lock:
            if self._ended:
                raise ModelError(ENDING)
            room = max(1, self._capacity // 2)
            request.in_slices |= self._requests == 1 and request.missing >= room
            if request.in_slices and not self._wait(request, room - 1):
                request.rows.append(None)
                return
            if (waiting := len(self._first) + len(self._queue)) >= self._capacity:
                raise Overloaded(f"{waiting} sequences wait to be scored already; try again later")
            queue = self._first if request.rank.first else self._queue
            queue.append(Job(request, len(request.rows), tokens))
            request.rows.append(None)
            request.missing += 1
            if len(self._threads) < self.workers:
                self._threads.append(threading.Thread(target=self._work, name="overfetch-scorer", daemon=True))
                self._threads[-1].start()
            self._arrived.notify()

    @staticmethod
    def _wait(request: Request, missing: int) -> bool:
        """Until no more than so many of its rows are missing; False where it ended before. With the lock held."""
        end = request.deadline
        left = None if end is None else max(0.0, end - time.monotonic())
        ended = request.changed.wait_for(lambda: request.missing <= missing or request.error is not None, left)
        return ended and request.error is None

    def _work(self) -> None:
        while jobs := self._take():
            self._run(jobs)

    def _run(self, jobs: Sequence[Job]) -> None:
        """One run; where that fails, one for each of the requests in it, so that none fails by another's sequence."""
        try:
            began = time.perf_counter()
            rows = jobs[0].request.model.run([job.tokens for job in jobs])
            self._learn(jobs, time.perf_counter() - began)
            RUNS.add()
            SEQUENCES.add(len(jobs))
            self._give(jobs, rows)
        except Exception as error:
            shared = list({id(job.request): job.request for job in jobs}.values())
            if len(shared) == 1:
                self._fail(jobs, error)
                return
            for request in shared:
                self._run([job for job in jobs if job.request is request])

    def _learn(self, jobs: Sequence[Job], seconds: float) -> None:
        model, own = jobs[0].request.model, seconds / sum(len(job.tokens.ids) for job in jobs)
        self._pace[model] = moving_average(self._pace.get(model), own)

    def _take(self) -> list[Job]:
        """The next sequence that someone waits for, with those after it that fit into its run; none after `close`."""
        with self._lock:
            while True:
                self._arrived.wait_for(lambda: self._first or self._queue or self._closed)
                queue = self._first or self._queue
                if not queue:
                    return []
                first = queue.popleft()
                if not first.request.is_over:
                    return [first, *self._fitting(first, queue)]
                first.request.put(first.place, None)

    @staticmethod
    def _fitting(first: Job, queue: "deque[Job]") -> Iterator[Job]:
        model, total = first.request.model, len(first.tokens.ids)
        while queue:
            after = queue[0]
            total += len(after.tokens.ids)
            budget = min(first.request.budget, after.request.budget)
            if after.request.model is not model or total > budget or after.request.is_over:
                return
            yield queue.popleft()

    def _give(self, jobs: Sequence[Job], rows: Vectors) -> None:
        with self._lock:
            for job, row in zip(jobs, rows, strict=True):
                job.request.put(job.place, row)

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        with self._lock:
            self._fail_all(jobs, error)

    @staticmethod
    def _fail_all(jobs: Iterable[Job], error: Exception) -> None:
        """With the lock held."""
        for job in jobs:
            job.request.error = error
            job.request.changed.notify()


@cache
def shared_scorer(workers: int) -> Scorer:
    """The one of this process with so many workers; 0: one for each core."""
    return Scorer(workers)


@atexit.register
def _end() -> None:
    for scorer in list(_scorers):
        scorer.end()

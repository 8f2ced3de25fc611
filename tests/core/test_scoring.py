"""One scorer for a process: every row reaches its caller, and nobody waits for ever."""

import asyncio
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from overfetch.errors import ModelError, Overloaded
from overfetch.inference.scoring import Scorer
from overfetch.inference.tokenizing import Tokens
from overfetch.leaving import carried, in_thread
from overfetch.protocols import Vectors
from overfetch.scheduling import ahead, until, whole


class Echo:
    """Returns each sequence's first id and length, and remembers what shared a run."""

    def __init__(self, token_budget: int = 0, seconds: float = 0.0) -> None:
        self.token_budget = token_budget
        self.seconds = seconds
        self.runs: list[list[int]] = []

    def run(self, batch: Sequence[Tokens]) -> Vectors:
        time.sleep(self.seconds)
        self.runs.append([tokens.ids[0] for tokens in batch])
        return np.array([[tokens.ids[0], len(tokens.ids)] for tokens in batch], dtype=np.float32)


class Gate(Echo):
    """Waits in its first run until it is opened."""

    def __init__(self, token_budget: int = 0) -> None:
        super().__init__(token_budget)
        self.reached, self.opened = threading.Event(), threading.Event()

    def run(self, batch: Sequence[Tokens]) -> Vectors:
        self.reached.set()
        assert self.opened.wait(10)
        return super().run(batch)


class Broken(Echo):
    def run(self, batch: Sequence[Tokens]) -> Vectors:
        raise RuntimeError("the graph is on fire")


def sequence(first: int, length: int = 3) -> Tokens:
    return Tokens([first] * length, [0] * length, 0)


def firsts(rows: Sequence[Vectors | None]) -> list[int | None]:
    return [None if row is None else int(row[0]) for row in rows]


@pytest.fixture
def scorer() -> Iterator[Scorer]:
    """One worker, so that what runs when is known."""
    made = Scorer(workers=1, capacity=8)
    yield made
    made.close()


def test_rows_come_in_the_order_given() -> None:
    scorer, model = Scorer(workers=3), Echo()
    assert firsts(scorer.run(model, [sequence(n, 1 + n % 7) for n in range(50)])) == list(range(50))
    scorer.close()


def test_nothing_to_run_needs_no_worker(scorer: Scorer) -> None:
    assert scorer.run(Echo(), []) == []
    assert "overfetch-scorer" not in {thread.name for thread in threading.enumerate() if not thread.daemon}


def test_short_sequences_share_a_run_within_the_budget(scorer: Scorer) -> None:
    gate, model = Gate(), Echo(token_budget=9)
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        waiting = pool.submit(scorer.run, model, [sequence(1), sequence(2), sequence(3), sequence(4), sequence(5, 20)])
        wait_for_queue(scorer, 5)
        gate.opened.set()
        assert firsts(waiting.result(10)) == [1, 2, 3, 4, 5]
        held.result(10)
    assert model.runs == [[1, 2, 3], [4], [5]]


def test_requests_share_a_run(scorer: Scorer) -> None:
    gate, model = Gate(), Echo(token_budget=100)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        one = pool.submit(scorer.run, model, [sequence(1)])
        wait_for_queue(scorer, 1)
        two = pool.submit(scorer.run, model, [sequence(2)])
        wait_for_queue(scorer, 2)
        gate.opened.set()
        assert (firsts(one.result(10)), firsts(two.result(10))) == ([1], [2])
    assert model.runs == [[1, 2]]


def test_other_models_do_not_share_a_run(scorer: Scorer) -> None:
    gate, one, two = Gate(), Echo(token_budget=100), Echo(token_budget=100)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        pending = []
        for count, model in enumerate((one, two), start=1):
            pending.append(pool.submit(scorer.run, model, [sequence(count)]))
            wait_for_queue(scorer, count)
        gate.opened.set()
        assert [firsts(p.result(10)) for p in pending] == [[1], [2]]
    assert (one.runs, two.runs) == ([[1]], [[2]])


def test_a_deadline_keeps_what_is_done(scorer: Scorer) -> None:
    began = time.monotonic()
    rows = scorer.run(Echo(seconds=0.2), [sequence(n) for n in range(8)], deadline=began + 0.5)
    assert time.monotonic() - began < 5, "it does not wait for what will not be used"
    assert firsts(rows)[:1] == [0]
    assert firsts(rows)[-1] is None


def test_what_goes_ahead_is_run_before_what_waits(scorer: Scorer) -> None:
    gate, model = Gate(), Echo()
    with ThreadPoolExecutor(3) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        waiting = pool.submit(scorer.run, model, [sequence(1)])
        wait_for_queue(scorer, 1)
        with ahead():
            urgent = pool.submit(carried(scorer.run), model, [sequence(2)])
        while not scorer._first:
            time.sleep(0.005)
        gate.opened.set()
        assert (firsts(urgent.result(10)), firsts(waiting.result(10))) == ([2], [1])
    assert model.runs == [[2], [1]]


def test_what_goes_ahead_is_bounded_with_the_rest(scorer: Scorer) -> None:
    gate = Gate()
    with ThreadPoolExecutor(2) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        waiting = pool.submit(scorer.run, Echo(), [sequence(n) for n in range(5)])
        wait_for_queue(scorer, 5)
        with ahead(), pytest.raises(Overloaded, match="8 sequences wait"):
            scorer.run(Echo(), [sequence(n) for n in range(4)])
        gate.opened.set()
        assert firsts(waiting.result(10)) == [0, 1, 2, 3, 4]


def test_what_takes_no_deadline_ends_with_the_work_that_it_is_part_of(scorer: Scorer) -> None:
    with until(time.monotonic() + 0.5):
        rows = scorer.run(Echo(seconds=0.2), [sequence(n) for n in range(8)])
    assert (firsts(rows)[0], firsts(rows)[-1]) == (0, None)


def test_whoever_cannot_be_read_in_time_learns_it_at_once(scorer: Scorer) -> None:
    """Six of .2 seconds wait: more than half of two seconds, and less than half of a minute."""
    gate, model = Gate(), Echo(seconds=0.2)
    scorer.run(model, [sequence(0)])
    with ThreadPoolExecutor(3) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        waiting = pool.submit(scorer.run, model, [sequence(n) for n in range(6)])
        wait_for_queue(scorer, 6)
        began = time.monotonic()
        assert scorer.run(Echo(), [sequence(7)], deadline=began + 2) == []
        with whole(tokens=3 * 1_000):  # of which each takes a fifteenth of a second
            assert scorer.run(model, [sequence(7)], deadline=began + 60) == []
        assert time.monotonic() - began < 1
        later = pool.submit(scorer.run, model, [sequence(7)], deadline=began + 60)
        wait_for_queue(scorer, 7)
        gate.opened.set()
        assert firsts(later.result(10)) == [7]
        assert firsts(waiting.result(10)) == [0, 1, 2, 3, 4, 5]


def test_a_deadline_in_the_past_runs_nothing(scorer: Scorer) -> None:
    model = Echo()
    assert scorer.run(model, [sequence(1), sequence(2)], deadline=time.monotonic() - 1) == [None, None]
    assert firsts(scorer.run(Echo(), [sequence(3)])) == [3]
    assert model.runs == []


def test_a_full_queue_is_an_error_at_once(scorer: Scorer) -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        with pytest.raises(Overloaded, match="8 sequences wait to be scored already; try again later"):
            scorer.run(Echo(), [sequence(n) for n in range(9)])
        gate.opened.set()
        assert firsts(held.result(10)) == [0]
    assert firsts(scorer.run(Echo(), [sequence(1)])) == [1], "what the refused request left behind is dropped"


def test_one_request_larger_than_the_queue_is_read_in_slices(scorer: Scorer) -> None:
    assert firsts(scorer.run(Echo(), (sequence(n) for n in range(50)))) == list(range(50))


def test_in_slices_a_deadline_holds_too(scorer: Scorer) -> None:
    began = time.monotonic()
    rows = scorer.run(Echo(seconds=0.1), [sequence(n) for n in range(100)], deadline=began + 0.5)
    assert time.monotonic() - began < 5
    assert (len(rows), rows[0] is not None, rows[-1]) == (100, True, None)


def test_in_slices_an_error_ends_it(scorer: Scorer) -> None:
    with pytest.raises(ModelError, match="the graph is on fire"):
        scorer.run(Broken(), [sequence(n) for n in range(100)])


def test_others_find_room_beside_a_large_request(scorer: Scorer) -> None:
    gate = Gate()
    with ThreadPoolExecutor(2) as pool:
        large = pool.submit(scorer.run, gate, [sequence(n) for n in range(50)])
        assert gate.reached.wait(10)
        wait_for_queue(scorer, 3)
        small = pool.submit(scorer.run, Echo(), [sequence(99)])
        wait_for_queue(scorer, 4)
        gate.opened.set()
        assert firsts(small.result(10)) == [99]
        assert firsts(large.result(10)) == list(range(50))


def test_a_failing_sequence_fails_its_own_request_only(scorer: Scorer) -> None:
    class Picky(Echo):
        def run(self, batch: Sequence[Tokens]) -> Vectors:
            if any(tokens.ids[0] == 13 for tokens in batch):
                raise RuntimeError("unlucky")
            return super().run(batch)

    gate, model = Gate(), Picky(token_budget=100)
    with ThreadPoolExecutor(4) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        pending = []
        for count, first in enumerate((1, 13, 2), start=1):
            pending.append(pool.submit(scorer.run, model, [sequence(first)]))
            wait_for_queue(scorer, count)
        gate.opened.set()
        assert firsts(pending[0].result(10)) == [1]
        with pytest.raises(ModelError, match="unlucky"):
            pending[1].result(10)
        assert firsts(pending[2].result(10)) == [2]


def test_a_caller_who_left_costs_no_more_runs(scorer: Scorer) -> None:
    """As when Ctrl-C comes while sequences wait."""

    def interrupted() -> Iterator[Tokens]:
        yield from (sequence(n) for n in range(1, 4))
        raise KeyboardInterrupt

    gate, model = Gate(), Echo()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(scorer.run, gate, [sequence(0)])
        assert gate.reached.wait(10)
        with pytest.raises(KeyboardInterrupt):
            scorer.run(model, interrupted())
        gate.opened.set()
    assert firsts(scorer.run(Echo(), [sequence(1)])) == [1]
    assert model.runs == []


async def test_a_cancelled_task_costs_no_more_runs(scorer: Scorer) -> None:
    gate = Gate()
    task = asyncio.create_task(in_thread(scorer.run, gate, [sequence(n) for n in range(6)]))
    await asyncio.to_thread(gate.reached.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.opened.set()
    assert firsts(await in_thread(scorer.run, Echo(), [sequence(9)])) == [9]
    assert gate.runs == [[0]]


def test_a_failing_model_fails_its_request_and_no_other(scorer: Scorer) -> None:
    with pytest.raises(ModelError, match="a model run failed: the graph is on fire"):
        scorer.run(Broken(), [sequence(1), sequence(2)])
    assert firsts(scorer.run(Echo(), [sequence(3)])) == [3]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_workers_of_its_own(scorer: Scorer) -> None:
    """As a server does that loads its application before it forks."""
    assert firsts(scorer.run(Echo(), [sequence(1)])) == [1]
    child = os.fork()
    if child == 0:
        rows = scorer.run(Echo(), [sequence(2)], deadline=time.monotonic() + 10)
        os._exit(0 if firsts(rows) == [2] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert firsts(scorer.run(Echo(), [sequence(3)])) == [3]


def test_eight_threads_get_their_own_rows() -> None:
    """1,200 calls of differing lengths: no row goes astray."""
    scorer, model = Scorer(workers=4), Echo(token_budget=40)

    def call(number: int) -> bool:
        lengths = [1 + (number * 7 + i * 13) % 48 for i in range(5)]
        rows = scorer.run(model, [sequence(number, length) for length in lengths])
        return all(row is not None and row.tolist() == [number, n] for row, n in zip(rows, lengths, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(1200)))
    scorer.close()


def wait_for_queue(scorer: Scorer, length: int) -> None:
    for _ in range(1000):
        if len(scorer._queue) == length:
            return
        time.sleep(0.005)
    raise AssertionError(f"{len(scorer._queue)} wait, not {length}")

"""Work in threads: no more at a time than there are threads, and the event loop is free however much waits."""

import asyncio
import threading
import time

import pytest

from overfetch.leaving import AT_A_TIME, in_thread, whether_left


async def test_no_more_are_handed_over_than_threads_take() -> None:
    active, most, lock = 0, 0, threading.Lock()

    def work(number: int) -> int:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        time.sleep(0.002)
        with lock:
            active -= 1
        return number

    assert await asyncio.gather(*(in_thread(work, n) for n in range(500))) == list(range(500))
    assert most == AT_A_TIME


async def test_who_leaves_while_waiting_starts_nothing_and_holds_nobody_up() -> None:
    release, started = threading.Event(), []

    def work(number: int) -> None:
        started.append(number)
        release.wait(10)

    first = [asyncio.create_task(in_thread(work, n)) for n in range(AT_A_TIME)]
    waiting = asyncio.create_task(in_thread(work, -1))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    await asyncio.gather(*first)
    await in_thread(work, AT_A_TIME)
    assert sorted(started) == list(range(AT_A_TIME + 1))


async def test_who_leaves_while_working_is_known_to_the_work() -> None:
    left = threading.Event()
    begun = threading.Event()

    def work() -> None:
        begun.set()
        if whether_left().wait(10):
            left.set()

    task = asyncio.create_task(in_thread(work))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(left.wait, 10)


def test_each_event_loop_has_turns_of_its_own() -> None:
    """A turn of a loop that is gone must not block the next."""
    for _ in range(2):
        assert asyncio.run(in_thread(lambda: "done")) == "done"

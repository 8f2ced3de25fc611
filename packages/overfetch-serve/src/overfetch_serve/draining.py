"""The end of a process: it says first that it is not ready, and answers on, since load balancers look only so often."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from overfetch_serve.service import Service


@contextmanager
def leaving_first(service: Service) -> Iterator[None]:
    """On SIGTERM the service is leaving, and the server's own handler runs `leaving_s` later; the second time at once.

    In the main thread, where signals arrive, once the server has its handlers.
    """
    loop, ends = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

    def leave(number: int, frame: FrameType | None) -> None:
        seconds = 0.0 if service.is_leaving else service.settings.leaving_s
        service.is_leaving = True
        if callable(ends):
            loop.call_soon_threadsafe(loop.call_later, seconds, ends, number, frame)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, ends)

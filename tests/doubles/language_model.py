"""A language model behind a local server, whose replies a test writes."""

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from openai_server import ChatServer

from overfetch_answers.testing import section

BOGUS = "Nobody ever wrote this sentence into any passage."

Messages = Sequence[tuple[str, str]]


class Model(ChatServer):
    """`reply` is what it answers, `shares` how often it fails; `whole` counts the streams that it could finish."""

    def __init__(self) -> None:
        super().__init__({}, delay=0, reply=honest)
        self.address = ""
        self.whole = self.ended = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await super().handle(reader, writer)
        self.ended += 1

    async def _stream(self, text: str, model: str, writer: asyncio.StreamWriter, fault: str | None) -> bool:
        goes_on = await super()._stream(text, model, writer, fault)
        self.whole += 1
        return goes_on

    @contextmanager
    def running(self) -> Iterator[None]:
        started, ending = threading.Event(), asyncio.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        async def serve() -> None:
            loops.append(asyncio.get_running_loop())
            listening = await asyncio.start_server(self.handle, "127.0.0.1", 0)
            self.address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
            started.set()
            await ending.wait()
            listening.close()

        thread = threading.Thread(target=asyncio.run, args=[serve()])
        thread.start()
        try:
            assert started.wait(10)
            yield
        finally:
            loops[0].call_soon_threadsafe(ending.set)
            thread.join()


def fields(**values: object) -> str:
    """A reply in DSPy's form, with some text in every field."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    return "".join(f"[[ ## {name} ## ]]\n{text}\n\n" for name, text in texts.items()) + "[[ ## completed ## ]]"


def passages(messages: Messages) -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(section(messages[-1][1], "passages"))
    return read


def quote(passage: dict[str, Any]) -> dict[str, Any]:
    """A line of it, letter for letter."""
    return {"passage": passage["number"], "quote": max(passage["text"].splitlines(), key=len)}


def in_chat(quotes: Sequence[dict[str, Any]], answer: str) -> str:
    return fields(product="Sage Daily", quotes=quotes, verdict="answered", answer=answer)


def honest(messages: Messages) -> str:
    """Three sentences by two quotes."""
    first, second = passages(messages)[:2]
    told = f"The first says so [{first['number']}]. Then, the second says more. [{second['number']}] Both do [1, 2]."
    return in_chat([quote(first), quote(second)], told)


def learning(messages: Messages) -> str:
    """Better once the guard has told it what was wrong."""
    first = passages(messages)[0]
    if section(messages[-1][1], "feedback"):
        return in_chat([quote(first)], "Better so [1]. It says no more [1].")
    return in_chat([quote(first), {"passage": 1, "quote": BOGUS}], "So it is [1]. And so on [1].")

"""A local server that speaks OpenAI's chat protocol with the rule-based model behind it, and fails in stated shares.

    python tests/bench/openai_server.py --slow 0.2 --limited 0.1 --failing 0.1 --cut 0.1 --malformed 0.1

prints its port, then serves until its standard input closes. No weights; replies are the same every time, faults are
drawn by the request's number and the seed.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from overfetch_answers.testing import reply_to

FAULTS = ("slow", "limited", "failing", "cut", "malformed", "nonsense")
PIECE = 24  # characters a streamed delta


class ChatServer:
    """Answers each request after `delay` seconds with the model's `reply`, or with the fault that its number draws."""

    def __init__(
        self,
        shares: dict[str, float],
        seed: int = 0,
        delay: float = 0.05,
        slow: float = 2.0,
        reply: Callable[[Sequence[tuple[str, str]]], str] = reply_to,
    ) -> None:
        self.shares, self.seed, self.delay, self.slow, self.reply = shares, seed, delay, slow, reply
        self.requests = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (body := await _read(reader)) is not None:
                if not await self._answer(body, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the server is to stop
        finally:
            writer.close()

    def _fault(self) -> str | None:
        self.requests += 1
        draw = random.Random(f"{self.seed} {self.requests}").random()
        for fault, share in self.shares.items():
            if draw < share:
                return fault
            draw -= share
        return None

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Whether the connection goes on."""
        fault = self._fault()
        await asyncio.sleep(self.slow if fault == "slow" else self.delay)
        if fault in ("limited", "failing"):
            status = "429 Too Many Requests" if fault == "limited" else "503 Service Unavailable"
            _send(writer, status, json.dumps({"error": {"message": fault}}), "Retry-After: 1\r\n")
            await writer.drain()
            return True
        text = "I would rather not." if fault == "nonsense" else self.reply(_messages(body))
        if body.get("stream"):
            return await self._stream(text, body["model"], writer, fault)
        document = json.dumps(_completion(text, body["model"]))
        if fault == "malformed":
            document = document[: len(document) // 2]
        if fault == "cut":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(document)}\r\n\r\n".encode())
            writer.write(document[: len(document) // 2].encode())
            await writer.drain()
            return False
        _send(writer, "200 OK", document)
        await writer.drain()
        return True

    async def _stream(self, text: str, model: str, writer: asyncio.StreamWriter, fault: str | None) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
        for number, piece in enumerate(pieces):
            if number == len(pieces) // 2 and fault == "cut":
                return False
            if number == len(pieces) // 2 and fault == "malformed":
                writer.write(b'data: {"choices": [{"delta"\n\n')
            writer.write(f"data: {json.dumps(_chunk(piece, model))}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(0.001)
        last = {**_chunk("", model, "stop"), "usage": _completion(text, model)["usage"]}
        writer.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        await writer.drain()
        return False


@contextmanager
def running(*arguments: str) -> Iterator[str]:
    """The address of such a server, in a process of its own."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()
            process.wait(timeout=10)


async def _read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    except asyncio.IncompleteReadError:
        return None
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    body: dict[str, Any] = json.loads(await reader.readexactly(length))
    return body


def _send(writer: asyncio.StreamWriter, status: str, document: str, headers: str = "") -> None:
    body = document.encode()
    writer.write(
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
    )
    writer.write(body)


def _messages(body: dict[str, Any]) -> list[tuple[str, str]]:
    return [(message["role"], _text(message["content"])) for message in body["messages"]]


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _completion(text: str, model: str) -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 1000, "completion_tokens": len(text) // 4, "total_tokens": 1000 + len(text) // 4}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choice],
        "usage": usage,
    }


def _chunk(piece: str, model: str, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": piece} if piece else {}, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}


async def serve(shares: dict[str, float], seed: int) -> None:
    server = await asyncio.start_server(ChatServer(shares, seed).handle, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for fault in FAULTS:
        parser.add_argument(f"--{fault}", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=0)
    given = vars(parser.parse_args())
    asyncio.run(serve({fault: given[fault] for fault in FAULTS if given[fault]}, given["seed"]))


if __name__ == "__main__":
    main()

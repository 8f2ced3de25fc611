"""A log of every call to a language model: counted, bounded, and replayed where a compilation is resumed."""

import dataclasses
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import InvalidRequestError, Message, Request, Response, Usage

from overfetch import AnswerError
from overfetch.forking import ProcessLock

Progress = Callable[[int, int], None]


class RecordingEngine:
    """Answers a request from the log where it holds one, else by `lm`, and logs that. Safe to share between threads.

    Equal requests are told apart by their number only: an optimiser asks the same again to get another reply.
    """

    def __init__(self, lm: dspy.LM, path: Path) -> None:
        self.lm = lm
        self.path = path
        self.calls = self.replayed = self.input_tokens = self.output_tokens = 0
        self._began = self._expected = 0
        self._limited = False
        self._progress: Progress = _unwatched
        self._lock = ProcessLock()
        self._logged = _read(path)
        self._asked: dict[str, int] = defaultdict(int)

    @contextmanager
    def watched(self, progress: Progress, calls: int, *, limited: bool = False) -> Iterator[None]:
        """Within it every call is told to `progress`; where `limited`, the calls after so many fail."""
        self._began, self._expected, self._limited, self._progress = self.calls, calls, limited, progress
        try:
            yield
        finally:
            self._limited, self._progress = False, _unwatched

    def complete(self, request: Request) -> Response:
        key = _key(request)
        with self._lock:
            if self._limited and self.calls - self._began >= self._expected:
                raise InvalidRequestError(f"the budget of {self._expected} calls is spent")
            self.calls += 1
            self._progress(min(self.calls - self._began, self._expected), self._expected)
            number = self._asked[key]
            self._asked[key] += 1
            known = self._logged[key][number] if number < len(self._logged[key]) else None
            self.replayed += known is not None
        entry = known or self._ask(key, request)
        with self._lock:
            self.input_tokens += entry["input_tokens"]
            self.output_tokens += entry["output_tokens"]
        return _response(request.model, entry)

    def _ask(self, key: str, request: Request) -> dict[str, Any]:
        response = self.lm(request)
        entry = {
            "key": key,
            "text": response.text or "",
            "finish_reason": response.finish_reason,
            "input_tokens": response.usage.input_tokens or 0,
            "output_tokens": response.usage.output_tokens or 0,
        }
        with self._lock, self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry, ensure_ascii=False) + "\n")
        return entry


def recorded(lm: dspy.LM, path: Path) -> tuple[dspy.LM, RecordingEngine]:
    """A language model like `lm` whose calls are logged at `path`. Raises AnswerError where that cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise AnswerError(f"cannot write the log {path}: {error.strerror}") from error
    engine = RecordingEngine(lm, path)
    settings = {name: lm.kwargs.get(name) for name in ("temperature", "max_tokens")}
    return dspy.LM(lm.model, engine=engine, cache=False, num_retries=0, **settings), engine


def _unwatched(done: int, total: int) -> None:
    """Nobody watches."""


def _read(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Logged replies by request, in the order given; a line that was being written when the run was killed is left."""
    logged: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").split("\n"):  # a reply may hold what splitlines() takes for an end
        try:
            entry = json.loads(line)
            logged[entry["key"]].append(entry)
        except (json.JSONDecodeError, KeyError, TypeError):
            continue
    return logged


def _key(request: Request) -> str:
    return hashlib.sha256(json.dumps(dataclasses.asdict(request), default=str).encode()).hexdigest()


def _response(model: str, entry: dict[str, Any]) -> Response:
    usage = Usage(input_tokens=entry["input_tokens"], output_tokens=entry["output_tokens"])
    message = Message.assistant(entry["text"])
    return Response(id=None, model=model, message=message, finish_reason=entry["finish_reason"], usage=usage)

"""Models that a server runs: `/rerank` endpoints of Cohere's shape or TEI's, `/embeddings` endpoints of OpenAI's."""

import math
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Self, TypeVar

import httpx
import numpy as np
from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, TypeAdapter, ValidationError

from overfetch.errors import DeadlineExceeded, ModelError, SettingsError
from overfetch.forking import starting_over
from overfetch.leaving import carried, whether_left
from overfetch.models import ModelSpec
from overfetch.protocols import RerankScores, Vectors
from overfetch.redacting import keep_secret, redacted
from overfetch.scheduling import current

PAUSES_S = (0.1, 0.2, 0.4)  # before another try, unless the server asks for longer
PASSING = frozenset({429, 502, 503, 504})
TEXTS, IN_FLIGHT = 32, 4  # TEI takes no more texts in a request by default
EXCERPT = 200
RAW_SCORES = "Overfetch-Raw-Scores"  # asks another Overfetch, which would combine scores as this one will, for logits


class Outcome(NamedTuple):
    """One try: a reply, or a problem that another try may not have."""

    reply: bytes | None
    problem: str = ""
    may_pass: bool = False
    wait_s: float = 0.0


class Endpoint:
    """One address. Keeps its connections and tries again what may pass; safe to share between threads."""

    def __init__(self, url: str, api_key: str | None = None, timeout_s: float = 30.0) -> None:
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise SettingsError(f"{url!r} is no address: {error}") from error
        self.address = str(self._url.copy_with(userinfo=b"", query=None))
        keep_secret(api_key, url)
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise SettingsError(
                f"the API key for {self.address} has a character that no header can have: a line break?"
            )
        self._timeout_s = timeout_s
        self._headers = {RAW_SCORES: "true"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self.start_over()
        starting_over(self)

    def start_over(self) -> None:
        """Anew, as in a process just forked: on its parent's connections each would read the other's answers."""
        self._client = httpx.Client(headers=self._headers)
        weakref.finalize(self, self._client.close)

    def post(self, body: Mapping[str, Any], deadline: float | None = None) -> bytes | None:
        """The reply; None where `deadline` (`time.monotonic()`) passed or the caller left before it came.

        Raises ModelError naming the address and what it answered.
        """
        end = min(time.monotonic() + self._timeout_s, math.inf if deadline is None else deadline)
        left = whether_left()
        for pause in (*PAUSES_S, math.inf):
            if left.is_set() or time.monotonic() >= end == deadline:
                return None
            try:
                outcome = self._try(body, end)
            except httpx.TimeoutException as error:
                if end == deadline:
                    return None
                raise ModelError(f"{self.address} did not answer within {self._timeout_s:g} s") from error
            if outcome.reply is not None:
                return outcome.reply
            pause_s = max(pause, outcome.wait_s)
            if not outcome.may_pass or time.monotonic() + pause_s >= end:
                break
            left.wait(pause_s)
        raise ModelError(f"{self.address} {outcome.problem}")

    def _try(self, body: Mapping[str, Any], end: float) -> Outcome:
        parts = []
        timeout = max(0.001, end - time.monotonic())
        try:
            with self._client.stream("POST", self._url, json=body, timeout=timeout) as reply:
                for part in reply.iter_bytes():
                    parts.append(part)
                    if time.monotonic() >= end:  # httpx limits the wait for each part, not for all of them
                        raise httpx.ReadTimeout("the reply comes too slowly")
        except httpx.TimeoutException:
            raise
        except httpx.HTTPError as error:
            return Outcome(None, f"cannot be reached: {type(error).__name__}: {error}", may_pass=True)
        if reply.is_success:
            return Outcome(b"".join(parts))
        wait = reply.headers.get("Retry-After", "")
        problem = f"answered {reply.status_code}: {excerpt(b''.join(parts))}"
        return Outcome(None, problem, reply.status_code in PASSING, float(wait) if wait.isdigit() else 0.0)


def excerpt(reply: bytes) -> str:
    """Its beginning, on one line; a key that the server repeats is taken out before it could be cut in two."""
    text = " ".join(redacted(reply.decode("utf-8", "replace")).split())
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}..."


class Rank(BaseModel):
    index: int
    score: FiniteFloat = Field(validation_alias=AliasChoices("relevance_score", "score"))


class Ranking(BaseModel):
    results: list[Rank]


class Embedding(BaseModel):
    index: int
    embedding: list[FiniteFloat]


class Embeddings(BaseModel):
    data: list[Embedding]


Item = TypeVar("Item", Rank, Embedding)


def in_order(address: str, reply: bytes, parse: Callable[[bytes], list[Item]], count: int) -> list[Item]:
    """What a server says of each of `count` texts, in their order: it may answer in any. Raises ModelError."""
    try:
        items = parse(reply)
    except ValidationError as error:
        raise ModelError(f"{address} answered in an unknown shape: {excerpt(reply)}") from error
    found = {item.index: item for item in items}
    if len(items) != count or found.keys() != set(range(count)):
        raise ModelError(f"{address} answered for {len(found)} of {count} texts: {excerpt(reply)}")
    return [found[place] for place in range(count)]


def _results(reply: bytes) -> list[Rank]:
    return Ranking.model_validate_json(reply).results


def _data(reply: bytes) -> list[Embedding]:
    return Embeddings.model_validate_json(reply).data


class Dialect(NamedTuple):
    """How a server wants to be asked: the field of the passages, how many at most, and what else is said.

    Where a server can leave its sigmoid off it is asked to, since that ties the best passages.
    """

    field: str
    limit: int
    also: Mapping[str, Any]
    parse: Callable[[bytes], list[Rank]]


DIALECTS = {
    "cohere": Dialect("documents", 1000, {}, _results),
    "jina": Dialect("documents", 1000, {"return_documents": False}, _results),
    "infinity": Dialect("documents", 1000, {"raw_scores": True}, _results),
    "vllm": Dialect("documents", 1000, {"use_activation": False, "truncate_prompt_tokens": -1}, _results),
    "tei": Dialect("texts", TEXTS, {"raw_scores": True, "truncate": True}, TypeAdapter(list[Rank]).validate_json),
}


class RemoteReranker:
    """A cross-encoder behind a `/rerank` endpoint; its scores are on the server's scale, for order within a query."""

    def __init__(self, endpoint: Endpoint, spec: ModelSpec, dialect: str = "cohere") -> None:
        self.spec = spec
        self._endpoint = endpoint
        self._dialect = DIALECTS[dialect]

    def within(self, _tokens: int, /) -> Self:
        """Itself: how much is read is the server's affair."""
        return self

    def warm_up(self) -> None:
        self.score("warm up", ["warm up"])

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """In the order given, as far as `deadline` allows; what the server cut it does not say.

        Raises ModelError where the server fails, or answers with anything but one score for each passage.
        """
        scores: list[float] = []
        while len(scores) < len(passages):
            asked = passages[len(scores) : len(scores) + self._dialect.limit]
            body = {"model": self.spec.repo, "query": query, self._dialect.field: list(asked), "top_n": len(asked)}
            reply = self._endpoint.post({**body, **self._dialect.also}, deadline)
            if reply is None:
                break
            scores += [r.score for r in in_order(self._endpoint.address, reply, self._dialect.parse, len(asked))]
        return RerankScores(scores, None)


class RemoteEmbedder:
    """A bi-encoder behind an `/embeddings` endpoint, asked with the prefixes of `spec`."""

    def __init__(self, endpoint: Endpoint, spec: ModelSpec, model: str | None = None) -> None:
        self.spec = spec
        self._endpoint = endpoint
        self._model = model if model is not None else spec.known_as

    def warm_up(self) -> None:
        self.embed_queries(["warm up"])

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.spec.query_prefix + text for text in texts])

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return self._embed([self.spec.passage_prefix + text for text in texts])

    def count_truncated(self, passages: Sequence[str]) -> None:
        """Not known: the server does not say."""

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """A few requests at once, so that neither network nor server waits for the other.

        Raises ModelError where the server fails, or answers with anything but a vector of the right size for each text,
        and DeadlineExceeded where it does not in the time that `overfetch.scheduling` leaves.
        """
        parts = [texts[start : start + TEXTS] for start in range(0, len(texts), TEXTS)]
        if not parts:
            return np.zeros((0, self.spec.dimension or 0), dtype=np.float32)
        if len(parts) == 1:
            return self._request(parts[0])
        with ThreadPoolExecutor(min(IN_FLIGHT, len(parts))) as pool:
            return np.concatenate(list(pool.map(carried(self._request), parts)))

    def _request(self, texts: Sequence[str]) -> Vectors:
        body = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        reply = self._endpoint.post(body, current().end)
        if reply is None:
            raise DeadlineExceeded(f"{self._endpoint.address}: whoever asked has left, or has no time left")
        rows = [item.embedding for item in in_order(self._endpoint.address, reply, _data, len(texts))]
        sizes = sorted({len(row) for row in rows})
        if sizes != [self.spec.dimension]:
            raise ModelError(
                f"{self._endpoint.address} answered with vectors of {sizes} numbers where {self.spec.name} has "
                f"{self.spec.dimension}; for another model set OVERFETCH_EMBED_MODEL and OVERFETCH_EMBED_DIMENSION"
            )
        vectors = np.array(rows)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not lengths.all():
            raise ModelError(f"{self._endpoint.address} answered with a vector of zeros, which has no direction")
        unit: Vectors = (vectors / lengths).astype(np.float32)
        return unit

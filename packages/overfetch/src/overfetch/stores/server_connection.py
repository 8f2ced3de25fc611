"""The way to a Qdrant server: address, TLS, retries, and errors in Overfetch's terms."""

import contextlib
import ipaddress
import json
import logging
import re
import ssl
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import grpc
import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_when_event_set,
    wait_random_exponential,
)
from tenacity.nap import sleep_using_event

from overfetch.environment import ServerSettings
from overfetch.errors import SettingsError, StoreError, StoreUnavailable
from overfetch.forking import starting_over
from overfetch.leaving import whether_left
from overfetch.redacting import keep_secret, redacted

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

MEMORY = ":memory:"
GRPC, GRPCS = "grpc://", "grpcs://"
GRPC_PORT = 6334
LOOPBACK_NAME = "localhost"  # and all names below it: RFC 6761, section 6.3
# By default a channel that lost its server looks for it every two minutes at last, and fails all calls meanwhile.
GRPC_OPTIONS = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
}
AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
BUSY = (429, 503)
LONGEST_SAID = 200
BROKEN_ON_THE_WAY = (502, 504)
TOO_LATE = "no answer in time; OVERFETCH_QDRANT_TIMEOUT_S allows more"
FIRST_WAIT_S, LONGEST_WAIT_S, LONGEST_OBEYED_S = 0.1, 5.0, 30.0


class Connection:
    """Calls of one client, retried with jittered back-off. Safe to share between threads, but for `:memory:`.

    Timeouts are not retried: they say that the server is too busy already.
    """

    def __init__(self, address: str, settings: ServerSettings) -> None:
        """Connects on first use. Raises SettingsError."""
        keep_secret(settings.api_key, address)
        self.address = redacted(address)
        self._whole_address, self._settings = address, settings
        self._of_the_parent: list[QdrantClient] = []
        self._version: str | None = None
        self.client = self._connect()
        starting_over(self)

    def start_over(self) -> None:
        """With connections of its own: on its parent's each would read the other's answers."""
        if self.address != MEMORY:
            self._of_the_parent.append(self.client)
            self.client = self._connect()

    def _connect(self) -> QdrantClient:
        try:
            return _open_client(self._whole_address, self._settings)
        except ValueError as error:
            raise SettingsError(
                f"bad address {self.address!r} of a Qdrant server ({error}); write http://HOST:PORT"
            ) from error

    def call(self, collection: str, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """For what may be done twice: asked again where the server was busy or the connection broke."""
        return self._retrying(collection, may_repeat, operation, *args, **kwargs)

    def call_once(self, collection: str, operation: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """For what must not be done twice: asked again only where the server did not take the request."""
        return self._retrying(collection, was_not_taken, operation, *args, **kwargs)

    def _retrying(
        self,
        collection: str,
        again: Callable[[BaseException], bool],
        operation: Callable[P, R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        left = whether_left()
        retrying = Retrying(
            retry=retry_if_exception(again),
            stop=stop_after_attempt(1 + self._settings.retries) | stop_when_event_set(left),
            wait=_seconds_to_wait,
            sleep=sleep_using_event(left),
            before_sleep=self._say,
            reraise=True,
        )
        with self.translated(collection):
            return retrying(operation, *args, **kwargs)

    def require_version(self, least: tuple[int, int], doing: str) -> None:
        """Raises StoreError where the server is older; asked once."""
        if self.address == MEMORY:
            return
        if self._version is None:
            self._version = self.call("", self._ask_version)
        found = re.match(r"v?(\d+)\.(\d+)", self._version)
        if found and (int(found[1]), int(found[2])) < least:
            raise StoreError(
                f"Qdrant at {self.address} is {self._version}: {doing} needs {least[0]}.{least[1]}. Update the server, "
                "or search by meaning alone: first_stage='dense'"
            )

    def _ask_version(self) -> str:
        return str(self.client.info().version)

    def _say(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("Qdrant at %s: %s; trying again in %.1f s", self.address, _reason(error), state.upcoming_sleep)

    @contextlib.contextmanager
    def translated(self, collection: str) -> Iterator[None]:
        """The client's errors as StoreUnavailable or StoreError."""
        try:
            yield
        except (QdrantException, ResponseHandlingException, httpx.TransportError, ConnectionError) as error:
            raise self._unavailable(_reason(error)) from error
        except (json.JSONDecodeError, AssertionError) as error:  # the client asserts that there is a result
            raise self._unavailable(f"what answers is no Qdrant ({error})") from error
        except (UnexpectedResponse, grpc.RpcError) as error:
            if _is_away(error):
                raise self._unavailable(_reason(error)) from error
            raise self._refused(collection, _reason(error)) from error

    def close(self) -> None:
        self.client.close()

    def _unavailable(self, reason: str) -> StoreUnavailable:
        return StoreUnavailable(f"Qdrant at {self.address} does not answer: {reason}")

    def _refused(self, collection: str, reason: str) -> StoreError:
        return StoreError(f"Qdrant at {self.address} refused work on {collection!r}: {reason}")


def _open_client(address: str, settings: ServerSettings) -> QdrantClient:
    if address == MEMORY:
        return QdrantClient(MEMORY)
    if settings.api_key is not None and travels_open(address):
        scheme = address.partition(":")[0]
        log.warning("the API key travels unencrypted to %s; %ss:// protects it", redacted(address), scheme)
    # The compatibility check is a request of its own, over HTTP, in a thread that only warns.
    options: dict[str, Any] = {
        "api_key": settings.api_key,
        "timeout": settings.timeout_s,
        "check_compatibility": False,
    }
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # said above, as a log record
        if address.startswith((GRPC, GRPCS)):
            return _open_grpc(address, settings, options)
        if settings.tls_ca is not None:
            options["verify"] = ssl.create_default_context(cadata=_read_certificates(settings).decode())
        return QdrantClient(address, **options)


def travels_open(address: str) -> bool:
    """Whether what is sent to that address leaves the machine unencrypted."""
    return address.startswith(("http://", GRPC)) and not _is_loopback(urlsplit(address).hostname or "")


def _is_loopback(host: str) -> bool:
    name = host.removesuffix(".")
    if name == LOOPBACK_NAME or name.endswith(f".{LOOPBACK_NAME}"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name; what it resolves to may change
        return False


def _open_grpc(address: str, settings: ServerSettings, options: dict[str, Any]) -> QdrantClient:
    parts = urlsplit(address)
    host = parts.hostname
    if not host:
        raise ValueError("no host")
    options["grpc_options"] = dict(GRPC_OPTIONS)
    if settings.tls_ca is not None:
        options["grpc_options"]["root_certificates"] = _read_certificates(settings)
    client = QdrantClient(
        host=f"[{host}]" if ":" in host else host,
        grpc_port=parts.port or GRPC_PORT,
        prefer_grpc=True,
        https=parts.scheme == "grpcs",
        **options,
    )
    # Made on first use otherwise, by as many threads as come at once.
    _ = client.grpc_collections, client.grpc_points
    return client


def _read_certificates(settings: ServerSettings) -> bytes:
    assert settings.tls_ca is not None
    try:
        certificates = settings.tls_ca.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=certificates.decode("ascii"))
    except (OSError, ValueError, ssl.SSLError) as error:
        raise SettingsError(
            f"OVERFETCH_QDRANT_TLS_CA: {settings.tls_ca} holds no PEM certificates ({error})"
        ) from error
    return certificates


def was_not_taken(error: BaseException) -> bool:
    """Whether the server said that it is too busy, or was never reached."""
    if isinstance(error, ResourceExhaustedResponse | UnexpectedResponse):
        return _status(error) in BUSY and (_wanted_wait(error) or 0.0) <= LONGEST_OBEYED_S
    if isinstance(error, ResponseHandlingException):
        return isinstance(error.source, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def may_repeat(error: BaseException) -> bool:
    """Whether the server was not reached or too busy, or the connection broke with the request on its way."""
    if isinstance(error, UnexpectedResponse) and error.status_code in BROKEN_ON_THE_WAY:
        return True
    if isinstance(error, ResponseHandlingException) and isinstance(
        error.source, httpx.NetworkError | httpx.RemoteProtocolError
    ):
        return True
    return was_not_taken(error) or (isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.UNAVAILABLE)


def _is_away(error: UnexpectedResponse | grpc.RpcError) -> bool:
    if isinstance(error, UnexpectedResponse):
        return error.status_code in (*BUSY, *BROKEN_ON_THE_WAY)
    return error.code() in AWAY


def _status(error: ResourceExhaustedResponse | UnexpectedResponse) -> int | None:
    return error.status_code if isinstance(error, UnexpectedResponse) else BUSY[0]


def _wanted_wait(error: BaseException | None) -> float | None:
    """Seconds that the server asked to wait."""
    if isinstance(error, ResourceExhaustedResponse):
        return float(error.retry_after_s)
    if isinstance(error, UnexpectedResponse) and error.headers.get("Retry-After", "").isdigit():
        return float(error.headers["Retry-After"])
    return None


BACK_OFF = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)


def _seconds_to_wait(state: RetryCallState) -> float:
    """What the server asked for, and jitter on top, so that its clients do not all come back at once."""
    wanted = _wanted_wait(state.outcome.exception() if state.outcome else None)
    return (wanted or 0.0) + BACK_OFF(state)


def _reason(error: BaseException | None) -> str:
    if isinstance(error, grpc.RpcError):
        late = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return TOO_LATE if late else _one_line(f"{error.code().name}: {error.details()}")
    if isinstance(error, UnexpectedResponse):
        return _one_line(f"{error.status_code} ({error.reason_phrase}) {_said(error.content)}")
    source = error.source if isinstance(error, ResponseHandlingException) else error
    if isinstance(source, httpx.TimeoutException):
        return TOO_LATE
    return _one_line(str(error)) or type(source).__name__


def _said(content: bytes) -> str:
    """The error text of Qdrant's JSON, or the beginning of what came instead."""
    try:
        return str(json.loads(content)["status"]["error"])
    except (ValueError, LookupError, TypeError):
        return redacted(content.decode(errors="replace"))[:LONGEST_SAID]


def _one_line(text: str | None) -> str:
    return " ".join(redacted(text or "").split())

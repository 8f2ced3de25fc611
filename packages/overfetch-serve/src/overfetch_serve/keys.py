"""API keys: hashed at rest, compared in constant time, each for some sites and some kinds of work.

A key is `of_ID_SECRET`. The secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.
"""

import contextlib
import hashlib
import hmac
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from filelock import FileLock
from pydantic import Field, TypeAdapter, ValidationError

from overfetch.errors import SettingsError
from overfetch.settings import explain
from overfetch.types import Frozen
from overfetch_serve.errors import KeysUnreadable, NotAllowed, NotAuthenticated, NotFound, unknown_site

log = logging.getLogger(__name__)

Scope = Literal["search", "ask", "rerank", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
EVERY_SITE = "*"
MARK = "of"
SETTLED_NS = 1_000_000_000  # a file written within its clock's tick of a reading may change and look the same
OTHERS_WRITE = 0o002

Some = Field(min_length=1)


class Key(Frozen):
    """What is kept of a key: never its secret. `sites` are names, or `*` for every site; none for what needs none.

    `requests_per_minute` stands in place of the service's own.
    """

    id: str = Field(pattern=r"^[0-9a-z]{1,32}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    sites: tuple[str, ...]
    scopes: Annotated[tuple[Scope, ...], Some]
    created: datetime
    note: str = Field(default="", max_length=1_000)
    requests_per_minute: int | None = Field(default=None, gt=0)

    def require(self, scope: Scope, site: str | None = None) -> None:
        """Raises NotFound where it must not know of the site, and NotAllowed where it lacks the scope."""
        if site is not None and not self.knows(site):
            raise unknown_site(site)
        if scope not in self.scopes:
            raise NotAllowed(f"this key's scopes ({', '.join(self.scopes)}) do not hold {scope!r}")

    def require_operator(self) -> None:
        """Raises NotAllowed unless it is for all that the service does."""
        self.require("admin")
        if EVERY_SITE not in self.sites:
            raise NotAllowed(f"this key is for {', '.join(self.sites) or 'no site'}, and this is about every site")

    def knows(self, site: str) -> bool:
        return EVERY_SITE in self.sites or site in self.sites


_KEYS = TypeAdapter(tuple[Key, ...])
_NO_DIGEST = "0" * 64
# Who asks where no keys are kept.
ANYBODY = Key(id="anybody", digest=_NO_DIGEST, sites=("*",), scopes=SCOPES, created=datetime.fromtimestamp(0, UTC))

Identity = tuple[int, ...]


class _Held(NamedTuple):
    """Keys, and the file that they were read from; None: to be read again."""

    keys: Mapping[str, Key]
    file: Identity | None


class Keys:
    """The keys of a file, read again when it changes: one added or revoked counts from the next request on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held = _Held({}, None)

    def find(self, given: str | None) -> Key:
        """Raises NotAuthenticated, and KeysUnreadable. Takes as long for an unknown id as for a wrong secret."""
        if given is None:
            raise NotAuthenticated("no API key was given; send it as `Authorization: Bearer KEY`")
        mark, _, rest = given.partition("_")
        name, _, secret = rest.partition("_")
        key = self._known().get(name)
        same = hmac.compare_digest(_digest(secret), key.digest if key else _NO_DIGEST)
        if key is None or not same or mark != MARK:
            raise NotAuthenticated("this API key is not known here; it may have been revoked")
        return key

    def _known(self) -> Mapping[str, Key]:
        """What is wrong with the file is nothing that a client should read."""
        try:
            return self.all(must_exist=True)
        except SettingsError as error:
            log.error("nobody is let in: %s", error)
            raise KeysUnreadable("the service cannot read its keys, and its log says why; try again later") from error

    def all(self, *, must_exist: bool = False) -> Mapping[str, Key]:
        """By id; none where there is no file. Raises SettingsError where it cannot be read, or others may write it."""
        try:
            if self._held.file is None or _identity(self.path.stat()) != self._held.file:
                self._held = _read(self.path)
        except FileNotFoundError as error:
            if must_exist:
                raise SettingsError(
                    f"there is no file of keys {self.path}: make one by `overfetch keys add`, or set "
                    "OVERFETCH_SERVE_KEYS to the one that there is"
                ) from error
            return {}
        except OSError as error:
            raise SettingsError(f"the keys in {self.path} cannot be read: {error}") from error
        except ValidationError as error:
            raise SettingsError(f"{self.path} is no file of keys: {_first(error)}") from error
        return self._held.keys

    def add(
        self, sites: Sequence[str], scopes: Sequence[str], note: str = "", requests_per_minute: int | None = None
    ) -> tuple[Key, str]:
        """The key and what its holder sends, which is shown this once and kept nowhere. Raises SettingsError."""
        for scope in scopes:
            if scope not in SCOPES:
                raise SettingsError(f"no scope is called {scope!r}; scopes: {', '.join(SCOPES)}")
        name, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        made = {"id": name, "digest": _digest(secret), "created": datetime.now(UTC), "note": note}
        asked = {"sites": sites, "scopes": scopes, "requests_per_minute": requests_per_minute}
        try:
            key = Key.model_validate({**made, **asked})
        except ValidationError as error:
            raise SettingsError(explain(error)) from error
        with self._changing() as keys:
            keys[name] = key
        return key, f"{MARK}_{name}_{secret}"

    def revoke(self, name: str) -> Key:
        """Raises NotFound naming the known ids."""
        with self._changing() as keys:
            if name not in keys:
                raise NotFound(f"no key has the id {name!r}; known: {', '.join(keys) or 'none'}")
            return keys.pop(name)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Key]]:
        """All keys, which are written as the caller leaves them; one process at a time. A link stays a link."""
        path = self.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            keys = dict(self.all())
            yield keys
            _write(path, _KEYS.dump_json(tuple(keys.values()), indent=2))


def _read(path: Path) -> _Held:
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        if os.name == "posix" and stat.st_mode & OTHERS_WRITE:
            raise SettingsError(f"anybody may write {path}, and with it let themselves in: chmod o-w it")
        keys = {key.id: key for key in _KEYS.validate_json(file.read())}
    is_settled = time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > SETTLED_NS
    return _Held(keys, _identity(stat) if is_settled else None)


def _first(error: ValidationError) -> str:
    """What is wrong, without what was given: it may be a secret."""
    found = error.errors(include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, found["loc"])), found["msg"])))


def _identity(stat: os.stat_result) -> Identity:
    """The time of change tells of a new mode or owner too."""
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size


def _write(path: Path, content: bytes) -> None:
    """Beside, then renamed: a service that reads meanwhile sees the old file or the new one. Mode and owner stay."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # new, and its owner's alone
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        _as_before(path, beside)
        beside.replace(path)
    except BaseException:
        beside.unlink()
        raise


def _as_before(path: Path, beside: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
        shutil.copymode(path, beside)
        if hasattr(os, "chown"):
            with contextlib.suppress(PermissionError):
                os.chown(beside, before.st_uid, before.st_gid)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

"""API keys: hashed at rest, compared in constant time, each for some sites and some kinds of work.

A key is `of_ID_SECRET`. The secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from overfetch.errors import SettingsError
from overfetch.settings import explain
from overfetch.types import Frozen
from overfetch_serve.errors import NotAllowed, NotAuthenticated, NotFound

Scope = Literal["search", "ask", "rerank", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
EVERY_SITE = "*"


class Key(Frozen):
    """What is kept of a key: never its secret. `sites` are names, or `*` for every site."""

    id: str
    digest: str
    sites: tuple[str, ...]
    scopes: tuple[Scope, ...]
    created: datetime
    note: str = ""

    def require(self, scope: Scope, site: str | None = None) -> None:
        """Raises NotFound where it must not know of the site, and NotAllowed where it lacks the scope."""
        if site is not None and not self.knows(site):
            raise NotFound(f"no site {site!r} is served to this key")
        if scope not in self.scopes:
            raise NotAllowed(f"this key's scopes ({', '.join(self.scopes)}) do not hold {scope!r}")

    def knows(self, site: str) -> bool:
        return EVERY_SITE in self.sites or site in self.sites


# Who asks where no keys are kept.
ANYBODY = Key(id="anybody", digest="", sites=(EVERY_SITE,), scopes=SCOPES, created=datetime.fromtimestamp(0, UTC))
_KEYS = TypeAdapter(tuple[Key, ...])
_NO_DIGEST = "0" * 64


class Keys:
    """The keys of a file, read again when it changes: one added or revoked counts from the next request on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_at: tuple[int, int] | None = None
        self._keys: dict[str, Key] = {}

    def find(self, given: str | None) -> Key:
        """Raises NotAuthenticated. Takes as long for an unknown id as for a wrong secret."""
        if given is None:
            raise NotAuthenticated("no API key was given; send it as `Authorization: Bearer KEY`")
        _, _, rest = given.partition("_")
        name, _, secret = rest.partition("_")
        key = self.all().get(name)
        same = hmac.compare_digest(_digest(secret), key.digest if key else _NO_DIGEST)
        if key is None or not same:
            raise NotAuthenticated("this API key is not known here; it may have been revoked")
        return key

    def all(self) -> dict[str, Key]:
        """By id. Raises SettingsError where the file cannot be read."""
        try:
            stat = self.path.stat()
            if (stat.st_mtime_ns, stat.st_ino) != self._read_at:
                self._keys = {key.id: key for key in _KEYS.validate_json(self.path.read_bytes())}
                self._read_at = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            self._keys, self._read_at = {}, None
        except OSError as error:
            raise SettingsError(f"the keys in {self.path} cannot be read: {error}") from error
        except ValidationError as error:
            raise SettingsError(f"{self.path} is no file of keys: {explain(error)}") from error
        return self._keys

    def add(self, sites: tuple[str, ...], scopes: tuple[Scope, ...], note: str = "") -> tuple[Key, str]:
        """The key and what its holder sends, which is shown this once and kept nowhere."""
        name, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        key = Key(
            id=name, digest=_digest(secret), sites=sites, scopes=scopes, created=datetime.now(UTC), note=note
        )
        self._write({**self.all(), name: key})
        return key, f"of_{name}_{secret}"

    def revoke(self, name: str) -> Key:
        """Raises NotFound naming the known ids."""
        keys = dict(self.all())
        if name not in keys:
            raise NotFound(f"no key has the id {name!r}; known: {', '.join(keys) or 'none'}")
        revoked = keys.pop(name)
        self._write(keys)
        return revoked

    def _write(self, keys: dict[str, Key]) -> None:
        """Beside, then renamed: a service that reads meanwhile sees the old file or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
        beside.touch(mode=0o600)
        beside.write_bytes(_KEYS.dump_json(tuple(keys.values()), indent=2))
        beside.replace(self.path)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

"""What a request is refused for, beside what `overfetch.errors` says: each with its HTTP status."""

import math

from overfetch.errors import (
    CollectionMissing,
    CorpusError,
    DeadlineExceeded,
    ModelError,
    OverfetchError,
    Overloaded,
    ProvenanceMismatch,
    RecallLoss,
    SettingsError,
    StoreError,
    StoreLocked,
    StoreUnavailable,
)

SECONDS_TO_WAIT = 1


class NotFound(OverfetchError):
    """There is no such site, collection, passage, document, job or model, or the key must not know of it."""


class NotAuthenticated(OverfetchError):
    """No key was given, or none that is known."""


class KeysUnreadable(OverfetchError):
    """Keys are asked for, and the file of those that are known cannot be read."""


class NotAllowed(OverfetchError):
    """What was asked is not for this key, or not to be asked by that page or under that name."""


class BodyTooLarge(OverfetchError):
    """The body has more bytes than the route reads."""


class NotJson(OverfetchError):
    """The body is not said to be JSON."""


class TooSlow(OverfetchError):
    """The body did not arrive in time."""


class TooMuch(OverfetchError):
    """More texts than can be read in the request's time; it allows the first `allowed`."""

    def __init__(self, message: str, allowed: int) -> None:
        super().__init__(message)
        self.allowed = allowed


class Busy(Overloaded):
    """So many requests are worked on or wait already that no more are taken.

    `seconds` until one may be sent again.
    """

    def __init__(self, message: str, seconds: float = SECONDS_TO_WAIT) -> None:
        super().__init__(message)
        self.seconds = seconds


class TooMany(Busy):
    """More requests than the key may send."""


def unknown_site(site: str) -> NotFound:
    """The same of one that is not served and of one that the key must not know of."""
    return NotFound(f"no site {site!r} is served to this key")


# The first that fits counts.
STATUS: dict[type[OverfetchError], int] = {
    NotFound: 404,
    NotAuthenticated: 401,
    KeysUnreadable: 503,
    NotAllowed: 403,
    BodyTooLarge: 413,
    NotJson: 415,
    TooSlow: 408,
    SettingsError: 422,
    TooMuch: 422,
    CorpusError: 422,
    RecallLoss: 409,
    CollectionMissing: 404,
    StoreLocked: 409,
    StoreUnavailable: 503,
    ProvenanceMismatch: 503,
    StoreError: 503,
    ModelError: 503,
    Overloaded: 429,
    DeadlineExceeded: 504,
    OverfetchError: 500,
}
TO_BE_TRIED_AGAIN = {429, 503}


def status_of(error: OverfetchError) -> int:
    """The HTTP status that says it."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


def seconds_to_wait(error: OverfetchError) -> int | None:
    """What `Retry-After` says, where trying again may help."""
    if status_of(error) not in TO_BE_TRIED_AGAIN:
        return None
    return max(1, math.ceil(getattr(error, "seconds", SECONDS_TO_WAIT)))

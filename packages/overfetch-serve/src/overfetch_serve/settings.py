"""Every `OVERFETCH_SERVE_...` variable: what is served, to whom, and within which bounds."""

import re
from pathlib import Path
from typing import Self

from platformdirs import user_data_path
from pydantic import Field, field_validator, model_validator

from overfetch.environment import LONGEST_WAIT_S
from overfetch.variables import Variables, require_known

KIBIBYTE = 1024
LOOPBACK = ("127.0.0.1", "::1")  # this machine's addresses for itself
OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")  # what a request that was meant for it calls it
LONGEST_DEADLINE_MS = 3_600_000
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\sA-Z/?#]+")  # no path, not even a slash: it would be that of no page


class ServiceSettings(Variables):
    """Bounds of one process (`concurrency`, `waiting`) and of the service.

    `sites` are names of installed sites and folders of documents, separated by commas; by default all installed
    sites. `keys` is a file made by `overfetch keys`; without it nobody is asked for a key, and only this machine is
    served. `state` is a folder that all workers share: what was asked within the last minute (`rates.sqlite`), what is
    written in the background (`jobs.sqlite`, `jobs/`) and, with several workers, their figures (`metrics/`).
    Of the requests that a process was sent, it works on `concurrency` at a time; `waiting` more wait for their turn,
    and the rest are told when to come again. A question needs a turn for its search only; `asking` of them may be under
    way, the language model's time included. `requests_per_minute` are those of each key, unless it has a number of its
    own, and of each address where no key is known. `cors_origins`, separated by commas, are the sites whose pages may
    ask from a browser. `log_queries` and `trace_content` put texts into logs and spans, which have none by default.
    A body must have arrived within `body_timeout_s`, the longer ones of documents in proportion; the head of a request
    within `head_timeout_s`, and in `head_bytes`. Told to end by SIGTERM, it is not ready, but answers, for `leaving_s`
    more, so that a load balancer can notice; what is under way then has `drain_s` to finish.
    In the shapes of other vendors the models of the environment's profile are served, and of the `profiles` named
    here; `aliases` are what clients call them (or a site), such as `rerank-v3.5=mini,gpt-4o=sagedaily`.
    """

    prefix = "OVERFETCH_SERVE_"

    sites: str = ""
    keys: Path | None = None
    state: Path = Field(default_factory=lambda: user_data_path("overfetch") / "service")
    deadline_ms: float = Field(default=5_000, gt=0, le=LONGEST_DEADLINE_MS)
    longest_deadline_ms: float = Field(default=60_000, gt=0, le=LONGEST_DEADLINE_MS)
    body_bytes: int = Field(default=KIBIBYTE * KIBIBYTE, gt=0)
    document_bytes: int = Field(default=32 * KIBIBYTE * KIBIBYTE, gt=0)
    body_timeout_s: float = Field(default=10.0, gt=0, le=LONGEST_WAIT_S)
    concurrency: int = Field(default=16, gt=0, le=1_024)
    waiting: int = Field(default=64, ge=0, le=100_000)
    asking: int = Field(default=64, gt=0, le=10_000)
    connections: int = Field(default=1_000, gt=0, le=100_000)
    head_bytes: int = Field(default=32 * KIBIBYTE, ge=KIBIBYTE)
    head_timeout_s: int = Field(default=5, gt=0, le=LONGEST_WAIT_S)
    requests_per_minute: int | None = Field(default=None, gt=0)
    leaving_s: float = Field(default=0.0, ge=0, le=LONGEST_WAIT_S)
    drain_s: float = Field(default=20.0, ge=0, le=LONGEST_WAIT_S)
    cors_origins: str = ""
    log_queries: bool = False
    trace_content: bool = False
    profiles: str = ""
    aliases: str = ""

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, given: str) -> str:
        for origin in listed(given):
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is no origin; write it as browsers do, such as https://example.org")
        return given

    @model_validator(mode="after")
    def _usual_is_within_the_longest(self) -> Self:
        if "deadline_ms" in self.model_fields_set and self.deadline_ms > self.longest_deadline_ms:
            raise ValueError(
                f"OVERFETCH_SERVE_DEADLINE_MS ({self.deadline_ms:g}) cannot exceed "
                f"OVERFETCH_SERVE_LONGEST_DEADLINE_MS ({self.longest_deadline_ms:g})"
            )
        return self

    @property
    def threads(self) -> int:
        """Whoever has a turn, or waited for one until its time was over; most of them wait for a model."""
        return self.concurrency + self.waiting


def listed(given: str) -> list[str]:
    """What stands between commas."""
    return [name for one in given.split(",") if (name := one.strip())]


def read_settings() -> ServiceSettings:
    """Raises SettingsError naming the variable, also where the service knows none of it."""
    require_known(ServiceSettings.prefix, [ServiceSettings])
    return ServiceSettings.read()

"""Settings that are environment variables: read, checked, and refused where nobody knows them."""

import os
import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, Self

from pydantic import ValidationError, model_validator

from overfetch.errors import SettingsError
from overfetch.redacting import keep_secret, redacted
from overfetch.settings import explain
from overfetch.types import Frozen

SECTIONS = {"server", "rerank", "embed"}  # of an Environment: not variables themselves
# What Kubernetes and Docker set in every container beside a service of that name.
OF_SERVICES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")


class Variables(Frozen):
    """Settings that are environment variables: the field's name in capitals, after `prefix`."""

    prefix: ClassVar[str]

    @model_validator(mode="after")
    def _keeps_its_secrets(self) -> Self:
        for name, value in self:
            if isinstance(value, str):
                keep_secret(key=value if name.endswith("api_key") else None, address=value)
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, redacted(value) if isinstance(value, str) else value

    @classmethod
    def read(cls, **sections: "Variables") -> Self:
        """What is set and not empty. Raises SettingsError naming the variable."""
        names = [name for name in cls.model_fields if name not in sections]
        given = {name: value for name in names if (value := os.environ.get(cls.prefix + name.upper()))}
        try:
            return cls.model_validate({**given, **sections})
        except ValidationError as error:
            raise SettingsError(explain(error, prefix=cls.prefix)) from error


def require_known(prefix: str, kinds: Sequence[type[Variables]], of_others: tuple[str, ...] = ()) -> None:
    """Raises SettingsError where a variable of that prefix is set which no kind has, but for those `of_others`."""
    known = {kind.prefix + name.upper() for kind in kinds for name in kind.model_fields if name not in SECTIONS}
    for name, value in os.environ.items():
        if not value or not name.startswith(prefix) or name in known or name.startswith(of_others):
            continue
        if not OF_SERVICES.fullmatch(name):
            near = get_close_matches(name, known, n=3)
            raise SettingsError(f"Overfetch has no variable {name}; did you mean {' or '.join(near or sorted(known))}?")

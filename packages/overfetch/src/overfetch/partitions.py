"""Partitions of a corpus: parts that several machines index at once, each document in exactly one."""

import re
from hashlib import blake2b
from typing import Self

from pydantic import Field, model_validator

from overfetch.errors import SettingsError
from overfetch.types import Frozen

BUCKETS = 1 << 16
PARTITION = re.compile(r"([1-9]\d{0,4})/([1-9]\d{0,4})", re.ASCII)


class Partition(Frozen):
    """The `number`th (from 1) of `count` parts: a range of buckets."""

    number: int = Field(gt=0)
    count: int = Field(gt=0, le=BUCKETS)

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if self.number > self.count:
            raise ValueError(f"there is no partition {self.number} of {self.count}")
        return self

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def buckets(self) -> range:
        """
        >>> [Partition(number=n, count=3).buckets for n in (1, 2, 3)]
        [range(0, 21845), range(21845, 43690), range(43690, 65536)]
        """
        return range((self.number - 1) * BUCKETS // self.count, self.number * BUCKETS // self.count)

    def holds(self, document_id: str) -> bool:
        return bucket_of(document_id) in self.buckets


def need_server(partition: Partition) -> SettingsError:
    return SettingsError(
        f"partition {partition}: in process a collection has one writer, which uses all cores; "
        "partitions are for the writers of one server: OVERFETCH_QDRANT=http://HOST:6333"
    )


def bucket_of(document_id: str) -> int:
    """0 to 65,535, by a hash of the id that is the same on every machine.

    >>> bucket_of("ruff"), bucket_of("uv")
    (59944, 49613)
    """
    return int.from_bytes(blake2b(document_id.encode(), digest_size=2).digest())


def parse_partition(text: str) -> Partition:
    """`3/8` is the third of eight. Raises SettingsError."""
    parts = PARTITION.fullmatch(text)
    if parts is None or not int(parts[1]) <= int(parts[2]) <= BUCKETS:
        raise SettingsError(f"bad partition {text!r}: write NUMBER/COUNT, from 1/8 to 8/8 for eight of them")
    return Partition(number=int(parts[1]), count=int(parts[2]))

"""Generations on a Qdrant server: collections NAME--NUMBER, the alias NAME of the live one, NAME@previous of the last.

An unfinished one has no alias, a number above both, and a provenance that does not say yet how much it holds.
"""

from collections.abc import Callable
from itertools import count
from typing import Any, NamedTuple, ParamSpec, TypeVar

from overfetch.errors import OverfetchError
from overfetch.protocols import Generation
from overfetch.provenance import WRITE_FIELDS, Provenance, is_same_work
from overfetch.stores import server_requests as requests
from overfetch.stores.payloads import slug
from overfetch.stores.server_connection import Connection

# A change of the cluster's layout waits for its nodes to agree.
LAYOUT_TIMEOUT_S = 60

P = ParamSpec("P")
R = TypeVar("R")


class Aliases(NamedTuple):
    """The server collections that the two aliases of a collection name."""

    live: str | None
    previous: str | None


class ServerGenerations:
    """The server collections that are generations of one collection."""

    def __init__(self, connection: Connection, collection: str) -> None:
        self.connection = connection
        self.client = connection.client
        self.collection = collection
        self.alias = slug(collection)

    def aliases(self) -> Aliases:
        named = {a.alias_name: a.collection_name for a in self._call(self.client.get_aliases).aliases}
        return Aliases(named.get(self.alias), named.get(f"{self.alias}@previous"))

    def point_at(self, live: str, previous: str | None) -> None:
        """Both aliases in one request, so that a search sees the old or the new collection."""
        before = self.aliases()
        moves = requests.move_alias(self.alias, before.live, live)
        moves += requests.move_alias(f"{self.alias}@previous", before.previous, previous)
        self._call(self.client.update_collection_aliases, moves, timeout=LAYOUT_TIMEOUT_S)

    def next_name(self) -> str:
        """One above the highest number in use."""
        return f"{self.alias}--{max(self._numbered(), default=0) + 1:06d}"

    def name_to_share(self, provenance: Provenance) -> str:
        """The same for all writers of partitions that make the same."""
        numbered = self._numbered()
        for number in count(1):
            made = self._read(numbered[number]) if number in numbered else None
            shared = made is not None and all(getattr(made, f) == getattr(provenance, f) for f in WRITE_FIELDS)
            if number not in numbered or shared:
                return f"{self.alias}--{number:06d}"
        raise AssertionError("numbers do not end")

    def find_unfinished(self, provenance: Provenance) -> str | None:
        """What a killed or failed run with the same provenance and source left."""
        aliases = self.aliases()
        for name in self._numbered().values():
            if name in aliases:
                return None
            made = self._read(name)
            if made and made.passages is None and is_same_work(made, provenance):
                return name
        return None

    def all(self) -> list[Generation]:
        """The live one first, then newest first."""
        aliases = self.aliases()
        states = {aliases.previous: "previous", aliases.live: "live"}
        found = [self._describe(name, states.get(name, "unfinished")) for name in self._own()]
        return sorted(found, key=lambda generation: generation.state != "live")

    def remove_superseded(self, below: str | None = None) -> None:
        """Deletes what no alias names; with `below`, only what is older than that."""
        aliases = self.aliases()
        for name in self._own():
            if name not in aliases and (below is None or name < below):
                self.drop(name)

    def drop_all(self) -> None:
        """First what names them: a search sees all of the collection, or none."""
        before = self.aliases()
        moves = requests.move_alias(self.alias, before.live, None)
        moves += requests.move_alias(f"{self.alias}@previous", before.previous, None)
        if moves:
            self._call(self.client.update_collection_aliases, moves, timeout=LAYOUT_TIMEOUT_S)
        for name in self._own():
            self.drop(name)

    def drop(self, name: str) -> None:
        self._call(self.client.delete_collection, name, timeout=LAYOUT_TIMEOUT_S)

    def metadata(self, name: str) -> dict[str, Any] | None:
        """The provenance as stored; None where Overfetch did not make the collection."""
        metadata = self._call(self.client.get_collection, name).config.metadata or {}
        found: dict[str, Any] | None = metadata.get(requests.PROVENANCE)
        return found

    def count(self, name: str) -> int:
        return int(self._call(self.client.count, name, exact=True).count)

    def _numbered(self) -> dict[int, str]:
        """By number, newest first."""
        prefix = f"{self.alias}--"
        names = [c.name for c in self._call(self.client.get_collections).collections if c.name.startswith(prefix)]
        found = {int(n.removeprefix(prefix)): n for n in names if n.removeprefix(prefix).isdigit()}
        return dict(sorted(found.items(), reverse=True))

    def _own(self) -> list[str]:
        """What Overfetch made, newest first: anything else is not its to list or remove."""
        return [name for name in self._numbered().values() if self.metadata(name) is not None]

    def _describe(self, name: str, state: str) -> Generation:
        return Generation.model_validate(
            {
                "name": name,
                "state": state,
                "passages": self.count(name),
                "bytes": None,
                "provenance": self._read(name),
            }
        )

    def _read(self, name: str) -> Provenance | None:
        try:
            return Provenance.stored(self.collection, self.metadata(name) or {})
        except OverfetchError:
            return None

    def _call(self, operation: Callable[P, R], *arguments: P.args, **options: P.kwargs) -> R:
        return self.connection.call(self.collection, operation, *arguments, **options)

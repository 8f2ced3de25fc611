"""Whether the next request is answered at full speed, part by part: what fails of one hides no other."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from overfetch import Engine
from overfetch.errors import CollectionMissing

log = logging.getLogger(__name__)

SECONDS = 1.0  # for which what was found counts
# Everything that a search uses has then run once: it finds something in any collection that has vectors.
QUERY = "what is this about"
MODELS, KEYS = "(models)", "(keys)"  # no site is called so


class Readiness:
    """Of the parts of one application: its sites, and by name what `others` check.

    `reasons` tell why a part is not ready, and are logged when they change; `unindexed` are `SITE/COLLECTION`.
    """

    def __init__(
        self,
        sites: Sequence[str],
        opened: Callable[[str], Engine],
        others: Mapping[str, Callable[[], object]],
        deadline_ms: float,
    ) -> None:
        self.parts = [*sites, *others]
        self._opened = opened
        self._others = others
        self._deadline_ms = deadline_ms
        self._checking = threading.Lock()
        self._checked_at = float("-inf")
        self._searched: set[str] = set()
        self.reasons: Mapping[str, str] = dict.fromkeys(self.parts, "it is not warmed up yet")
        self.unindexed: Sequence[str] = ()

    def check(self) -> None:
        """Warms up what is not yet, and looks whether the rest can still be searched; not while another does."""
        if not self._checking.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._checked_at > SECONDS:
                self._check_all()
                self._checked_at = time.monotonic()
        finally:
            self._checking.release()

    def _check_all(self) -> None:
        reasons, unindexed = {}, []
        for part in self.parts:
            try:
                if part in self._others:
                    self._others[part]()
                else:
                    unindexed += self._check(self._opened(part))
            except Exception as error:
                reasons[part] = f"{type(error).__name__}: {error}"
        for part, reason in reasons.items():
            if reason != self.reasons.get(part):
                log.warning("%s is not ready: %s", part, reason)
        self.reasons, self.unindexed = reasons, unindexed

    def _check(self, engine: Engine) -> list[str]:
        """The collections without anything to search. Raises CollectionMissing where one had something before."""
        engine.warm_up()
        missing = []
        for collection in engine.site.collections:
            name = engine.name_of(collection.name)
            if not engine.is_indexed(collection.name):
                missing.append(name)
            elif name not in self._searched:
                engine.search(collection.name, QUERY, deadline_ms=self._deadline_ms)
                self._searched.add(name)
        if gone := self._searched.intersection(missing):
            raise CollectionMissing(
                f"{', '.join(sorted(gone))} was served and is gone: index it again, or start anew without it"
            )
        return missing

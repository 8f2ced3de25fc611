"""Whether the next request is answered at full speed, part by part: what fails of one hides no other."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from overfetch import Engine

SECONDS = 1.0  # for which what was found counts
# Everything that a search uses has then run once: it finds something in any collection that has vectors.
QUERY = "what is this about"
MODELS = "(models)"  # no site is called so


class Readiness:
    """Of the parts of one application: its sites, and the models that are served by themselves.

    `reasons` tell why a part is not ready, `unindexed` are `SITE/COLLECTION`.
    """

    def __init__(
        self,
        sites: Sequence[str],
        opened: Callable[[str], Engine],
        load_models: Callable[[], None],
        deadline_ms: float,
    ) -> None:
        self.parts = [*sites, MODELS]
        self._opened = opened
        self._load_models = load_models
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
                if part == MODELS:
                    self._load_models()
                else:
                    unindexed += self._check(self._opened(part))
            except Exception as error:
                reasons[part] = f"{type(error).__name__}: {error}"
        self.reasons, self.unindexed = reasons, unindexed

    def _check(self, engine: Engine) -> list[str]:
        """The collections without anything to search."""
        engine.warm_up()
        missing = []
        for collection in engine.site.collections:
            name = engine.name_of(collection.name)
            if not engine.is_indexed(collection.name):
                missing.append(name)
            elif name not in self._searched:
                engine.search(collection.name, QUERY, deadline_ms=self._deadline_ms)
                self._searched.add(name)
        return missing

"""What writing an answer took."""

import time
from typing import Any

import dspy
from dspy.utils.usage_tracker import UsageTracker

from overfetch import Written


class Spending(UsageTracker):
    """Counts what DSPy tells of every reply, also of one whose tokens the server does not say; tells a tracker around
    it, too."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: list[dict[str, Any]] = []
        self.began = time.monotonic()
        self.around = dspy.settings.usage_tracker

    def add_usage(self, lm: str, usage_entry: dict[str, Any]) -> None:
        self.replies.append(usage_entry)
        if self.around is not None:
            self.around.add_usage(lm, usage_entry)

    def written(self, lm: str, program: str | None) -> Written:
        """So far, by that model and compiled program."""
        return Written(
            lm=lm,
            program=program,
            replies=len(self.replies),
            input_tokens=self._sum("prompt_tokens"),
            output_tokens=self._sum("completion_tokens"),
            ms=round((time.monotonic() - self.began) * 1000, 2),
        )

    def _sum(self, name: str) -> int | None:
        """None where any reply does not say: a part of the whole would mislead."""
        said = [int(reply[name]) for reply in self.replies if reply.get(name) is not None]
        return sum(said) if len(said) == len(self.replies) else None

"""From one day to another: what a question's words for a time come to, see `periods`."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from overfetch.filters import DateRange

EVER, NEVER = date(1900, 1, 1), date(2099, 12, 31)
AROUND, LATELY, FAR = (2, 10, 30), (10, 40, 150, 600), 30  # days around a day; before it, where the latest is asked for
WEEK = 7


class Period(NamedTuple):
    """First and last day, both of them in it. `near`: not only within it, but the closer to it the better.

    What is near and open to the past asks for the latest.
    """

    first: date
    last: date
    near: bool = False

    def within(self, days: int) -> "Period":
        """So many days more at both ends."""
        return self._replace(first=self.first - timedelta(days), last=self.last + timedelta(days))

    @property
    def whole(self) -> "Period":
        """All that it speaks of: what is near a day lies in the weeks around it."""
        return self.within(FAR) if self.near and self.first != EVER else self

    @property
    def closer(self) -> list["Period"]:
        """What lies around a day or a week or, where the latest is asked for, before its end, the closest first."""
        if self.near and self.first == EVER:
            return [Period(self.last - timedelta(days), self.last) for days in LATELY]
        return [self.within(days) for days in AROUND if self.near or (self.last - self.first).days < WEEK]

    @property
    def written(self) -> str | None:
        """The day or the month that it lies in, as `2023-03`; None where it is longer."""
        first, last = map(str, self[:2])
        return next((first[:n] for n in (10, 7) if first[:n] == last[:n]), None)

    def of(self, field: str) -> DateRange:
        """The condition that a field lies in it."""
        start, end = datetime.combine(self.first, time.min, UTC), datetime.combine(self.last, time.max, UTC)
        return DateRange(field=field, start=start, end=end)

"""How a question about a reading is read: a draw is a subject with an orientation."""

from datetime import date

from overfetch import AnyOf, Understood
from sagedaily.chunking import NO_ORIENTATION

ORIENTATIONS = ("upright", "reversed", "direct", "retrograde")


def understand(question: str, _day: date) -> Understood:
    """`The Tower, reversed` is the subject, bound to entries of its orientation and to those that have none.

    >>> understand("The Tower, reversed", date(2026, 1, 1)).conditions
    (AnyOf(field='orientation', values=('reversed', 'any')),)
    >>> understand("Saturn square Moon", date(2026, 1, 1)).conditions
    ()
    """
    subject, _, orientation = (part.strip() for part in question.rpartition(","))
    if not subject or orientation.lower() not in ORIENTATIONS:
        return Understood(text=question.strip())
    accepted = AnyOf(field="orientation", values=(orientation.lower(), NO_ORIENTATION))
    note = f"entries on {orientation.lower()}, and those on both"
    return Understood(text=f"{subject}, {orientation.lower()}", conditions=(accepted,), notes=(note,))

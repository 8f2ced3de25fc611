"""How a question of this site's users is read: the names in it are looked up, the rest is searched as it is."""

from datetime import date

from mysite.naming import names_in
from overfetch import AnyOf, Focus, Understood

LOOKED_AT = 1_000  # characters of a question
MOST_NAMES = 4


def understand(question: str, _day: date) -> Understood:
    """Passages that have a name of the question come first; a name that none has is said to be missing.

    >>> read = understand("what does --explain print?", date(2026, 1, 1))
    >>> read.text, read.notes
    ('what does --explain print?', ('looked up: --explain',))
    """
    names = names_in(question[:LOOKED_AT])[:MOST_NAMES]
    focuses = (Focus(conditions=(AnyOf(field="names", values=(name,)),), leads=1, missing=name) for name in names)
    notes = (f"looked up: {', '.join(names)}",) if names else ()
    return Understood(text=question, focuses=tuple(focuses), notes=notes)

"""What a question compares."""

import re

VERSUS = re.compile(r"\s+(?:vs?\.?|versus|compared (?:to|with))\s+", re.IGNORECASE)
LOOKED_AT, MOST_NAMES, MOST_WORDS = 1_000, 4, 4  # characters; names, and words of one


def compared(question: str) -> list[str]:
    """Up to four names that it holds against each other; none where it does not, or says more of one.

    >>> compared("AMD vs. Intel"), compared("Coca Cola versus Pepsi"), compared("tell me which is better, R vs Julia")
    (['AMD', 'Intel'], ['Coca Cola', 'Pepsi'], [])
    """
    names = VERSUS.split(question[:LOOKED_AT].strip(" ?"))
    is_names = len(names) > 1 and all(0 < len(name.split()) <= MOST_WORDS for name in names)
    return names[:MOST_NAMES] if is_names else []

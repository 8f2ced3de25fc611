"""What a question compares."""

import re

VERSUS = re.compile(r"\s+(?:vs?\.?|versus|against|compared (?:to|with)|or)\s+", re.IGNORECASE)
LOOKED_AT, MOST_NAMES, MOST_WORDS = 1_000, 4, 4  # characters; names, and words of one


def compared(question: str) -> list[str]:
    """The names that it holds against each other; none where it does not, or says more of them.

    >>> compared("AMD vs. Intel"), compared("Coca Cola or Pepsi"), compared("is it better for a beginner, R or Julia")
    (['AMD', 'Intel'], ['Coca Cola', 'Pepsi'], [])
    """
    names = VERSUS.split(question[:LOOKED_AT].strip(" ?"))[:MOST_NAMES]
    return names if len(names) > 1 and all(0 < len(name.split()) <= MOST_WORDS for name in names) else []

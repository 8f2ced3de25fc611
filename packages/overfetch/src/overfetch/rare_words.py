"""Rare words of a question, which no passage may have."""

import re
from collections.abc import Callable, Iterator
from itertools import islice

from overfetch.filters import Condition
from overfetch.spelling import without_accents
from overfetch.token_counting import token_counter
from overfetch.understanding import Focus, absence

WORD = re.compile(r"(?<!\w)[A-Za-z\u00c0-\u024f]+(?![^\W\d_])")  # of Latin letters, as the embedder's own are
MODEL = "all-minilm-l6-v2"
LOOKED_AT, MOST = 60, 8  # words of a question, words that are looked for
FEW_WORDS, FOREIGN = 12, 4  # words of a short question, rare ones of one in another language
SHORTEST = 3  # letters
LEAST = 1_500  # passages

IsKnown = Callable[[str], bool]
Called = Callable[[str], Condition]
"""Meets what has this word as its name."""


def unheard(
    question: str, is_known: IsKnown, *, everyday: bool = False, called: Called | None = None
) -> Iterator[Focus]:
    """What tells of each word that few people write whether any passage has it: without one, nothing answers.

    Among 1,500 passages and more: fewer lack many a word that they need not have. Few write what is in capitals, and
    what the default embedder has no token of its own for (its 30,000 are the commonest; Devlin et al. 2019). With
    `everyday`, where a corpus writes at length of its subject, so does each word of a question of up to twelve. Not
    those that are known, in small letters without accents: they only ask, or are written otherwise; nor what passages
    are `called`; nor any where most are rare: then the question is in another language, and what answers it may not
    be. Raises ModelNotPrepared without overfetch-mini.

    >>> [focus.missing for focus in unheard("typesense store, kerberos", {"kerberos"}.__contains__)]
    ["nothing on 'typesense'"]
    """
    words = dict[str, str]()
    for found in islice(WORD.finditer(question), LOOKED_AT):
        words.setdefault(found[0].casefold(), found[0])
    long = [folded for folded in words if len(folded) >= SHORTEST]
    rare = [folded for folded in long if is_rare(words[folded])]
    if len(rare) >= FOREIGN and 2 * len(rare) > len(words):
        return
    telling = long if everyday and len(words) <= FEW_WORDS else rare
    asked = (folded for folded in telling if not is_known(without_accents(folded)))
    for word in map(words.__getitem__, islice(asked, MOST)):
        missing = f"nothing on '{word}'"
        yield absence(missing, words=word, among=LEAST)
        if called:
            yield absence(missing, called(word), among=LEAST)


def is_rare(word: str) -> bool:
    """Whether few people write it: by the capitals, or by the tokens of the default embedder.

    >>> [is_rare(word) for word in ("RAPTOR", "recipe", "kerberos")]
    [True, False, True]
    """
    return word.isalpha() and (word.isupper() or token_counter(MODEL)(word) > 1)

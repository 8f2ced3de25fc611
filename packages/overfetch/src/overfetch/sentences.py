"""Sentences of any text, in time that grows with its length: the quadratic splitter sees a window at a time."""

from sentencex import segment

# No sentence worth quoting is longer; one that is gets cut.
WINDOW = 1_000
# The splitter panics at spaces of several bytes before an initial, and takes no half of a surrogate pair.
SPACES = (0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
READABLE = dict.fromkeys(SPACES, " ") | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def sentences_of(text: str) -> list[str]:
    """Sentences with the space around them, which join to the text again.

    >>> sentences_of("It holds. So does this.")
    ['It holds. ', 'So does this.']
    """
    read = text.translate(READABLE)
    sentences: list[str] = []
    start = 0
    while start < len(text):
        pieces = segment("en", read[start : start + WINDOW])
        # The last may go on beyond the window: it begins the next one.
        for piece in pieces if start + WINDOW >= len(text) else pieces[:-1] or pieces:
            sentences.append(text[start : start + len(piece)])
            start += len(piece)
    return sentences

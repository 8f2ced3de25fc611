"""A ticker becomes its sections; a catalyst the event as it stood, and apart from it what became known later."""

from collections.abc import Iterator, Sequence

from overfetch import Chunk, Document, split_at_headings, split_by_words, token_counter
from paiddaily.records import LATER_TEXTS

MAX_TOKENS, MAX_WORDS, MAX_BREADCRUMB = 254, 140, 90  # the embedder reads two tokens more, its own
EMBEDDER = "all-minilm-l6-v2"
TICKER_CHUNKER = f"paiddaily-ticker/4/tokens={MAX_TOKENS}"
CATALYST_CHUNKER = f"paiddaily-catalyst/5/tokens={MAX_TOKENS}"

# What questions are matched with is not shown.
TICKER_LOOKUPS = ("share", "markets", "kinds", "keys")
EVENT_LOOKUPS = ("keys", "loss_amount", "loss_unit", "techniques", "chains", "shape", "active")


def chunk_ticker(ticker: Document, tokens: int = MAX_TOKENS) -> Iterator[Chunk]:
    """Sections under `NAME (SYMBOL) > country > industry > size > heading`."""
    industry = "industry" if ticker.metadata.get("industry") else "sector"
    names = [ticker.title, *(str(told) for key in ("country", industry, "size") if (told := ticker.metadata.get(key)))]
    lookups = {name: ticker.metadata.get(name) for name in TICKER_LOOKUPS}
    metadata = {**dict.fromkeys(lookups), "updated": _end_of_day(ticker.metadata.get("updated"))}
    for breadcrumb, text in _pieces(names, ticker.text, tokens):
        yield Chunk(breadcrumb=breadcrumb, text=text, metadata=metadata, lookups=lookups)


def chunk_catalyst(event: Document, tokens: int = MAX_TOKENS) -> Iterator[Chunk]:
    """The event, known as `known_at` says; its outcome by then and `outcome_date`, and without either under no `as_of`.

    Of a proposal title and text may be later ones: the title is known once it is active.

    >>> metadata = {"date": "2025-01-01", "known_at": "2025-01-03", "outcome": "Sold.", "outcome_date": "2025-01-02"}
    >>> event = Document(id="e", title="Listing", text="Pair opens.", metadata=metadata)
    >>> [(chunk.text, chunk.metadata.get("known_at")) for chunk in chunk_catalyst(event)]
    [('Pair opens.', '2025-01-03T23:59:59+00:00'), ('Sold.', '2025-01-03T23:59:59+00:00')]
    """
    told = event.metadata
    name = f"{event.title} ({told['date']})"
    lookups = {name: told.get(name) for name in EVENT_LOOKUPS}
    hidden = dict.fromkeys((*EVENT_LOOKUPS, "outcome", "outcome_date"))
    if told.get("type") in LATER_TEXTS:
        title = {**hidden, "status": None, "known_at": _end_of_day(told.get("known_at") or told.get("active"))}
        yield Chunk(breadcrumb="", text=name, metadata=title, lookups={"keys": lookups.get("keys")})
    known, later = _end_of_day(told.get("known_at")), _end_of_day(told.get("outcome_date"))
    outcome = [name, "Outcome"], str(told.get("outcome") or ""), known and later and max(known, later)
    for names, text, known_at in (([name], event.text, known), outcome):
        for breadcrumb, piece in _pieces(names, text, tokens):
            yield Chunk(breadcrumb=breadcrumb, text=piece, metadata={**hidden, "known_at": known_at}, lookups=lookups)
        lookups = {**lookups, "shape": None}


def _pieces(names: Sequence[str], text: str, tokens: int) -> Iterator[tuple[str, str]]:
    """Breadcrumb and text of every piece; both together are all read by the embedder."""
    for path, below in split_at_headings(text):
        breadcrumb = split_by_words(" > ".join([*names, *path]), MAX_BREADCRUMB, token_counter(EMBEDDER))[0]
        room = max(tokens // 3, tokens - token_counter(EMBEDDER)(breadcrumb))
        for piece in split_by_words(below, room, _size):
            yield breadcrumb, piece


def _size(text: str) -> int:
    """Rounded up, since pieces are put together by the sum of their sizes."""
    return max(token_counter(EMBEDDER)(text), -(-len(text.split()) * MAX_TOKENS // MAX_WORDS))


def _end_of_day(moment: object) -> str | None:
    """A bare date is only known to have happened when the day is over."""
    day = str(moment or "")
    return f"{day}T23:59:59+00:00" if len(day) == len("2025-01-31") else day or None

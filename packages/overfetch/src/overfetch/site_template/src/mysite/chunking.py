"""A page becomes its sections, each under a breadcrumb of title and headings."""

from collections.abc import Iterator

from mysite.naming import names_in
from overfetch import Chunk, Document, chunk_by_headings, token_counter

EMBEDDER = "all-minilm-l6-v2"
LIMIT = 200  # tokens: with its breadcrumb, a passage fits the 254 that this model reads
# Say another version whenever passages come out otherwise: what is indexed is then built anew.
CHUNKER = f"mysite-page/1/tokens={LIMIT}"


def chunk_page(page: Document, tokens: int = LIMIT) -> Iterator[Chunk]:
    """Passages that the embedder reads whole, with the names that they can be looked up by.

    >>> page = Document(id="eval", title="Measuring", text="## Why\\nSee `--explain`.")
    >>> [(chunk.breadcrumb, chunk.text, chunk.lookups) for chunk in chunk_page(page)]
    [('Measuring > Why', 'See `--explain`.', {'names': ['--explain']})]
    """
    for chunk in chunk_by_headings(page, tokens, _size):
        names = names_in(f"{chunk.breadcrumb}\n{chunk.text}")
        yield chunk.model_copy(update={"lookups": {"names": names}})


def _size(text: str) -> int:
    """The counter is loaded when the first page is cut: who only imports the site does not wait for it."""
    return token_counter(EMBEDDER)(text)

"""A page becomes its sections, each under a breadcrumb of product, folders, title and headings."""

from collections.abc import Iterator

from builddaily.naming import (
    defined_names,
    mentioned_names,
    page_names,
    plain,
    product_of,
    products,
    title_of,
    trail_of,
)
from overfetch import Chunk, Document, split_at_headings, split_by_words, token_counter

EMBEDDER = "all-minilm-l6-v2"
READ = 254  # tokens of a passage that this model reads beside its own two
MOST_BREADCRUMB = 80  # tokens
CHUNKER = f"builddaily-page/3/tokens={READ}"
SEPARATOR = " > "


def chunk_page(page: Document, tokens: int = READ) -> Iterator[Chunk]:
    """Sections that the embedder reads whole; the summary, where there is one, opens the page.

    >>> page = Document(id="sage", title="Sage", text="## Gotchas\\nMind the name.", metadata={"summary": "A bridge."})
    >>> [(chunk.breadcrumb, chunk.text) for chunk in chunk_page(page)]
    [('Sage', 'A bridge.'), ('Sage > Gotchas', 'Mind the name.')]
    """
    names = {"product": products(page), "names": page_names(page)}
    for headings, text in _sections(page):
        path = [heading for heading in map(plain, headings) if heading != page.title]
        breadcrumb = _breadcrumb(page, path)
        for piece in split_by_words(text, max(tokens // 3, tokens - _size(breadcrumb)), _size):
            found = {
                "defines": defined_names(path, piece),
                "mentions": mentioned_names(page, f"{breadcrumb}\n{piece}"),
            }
            yield Chunk(breadcrumb=breadcrumb, text=piece, lookups={**names, **found})


def _sections(page: Document) -> Iterator[tuple[tuple[str, ...], str]]:
    if summary := page.metadata.get("summary"):
        yield (), str(summary)
    yield from split_at_headings(page.text)


def _breadcrumb(page: Document, path: list[str]) -> str:
    """From the product to the nearest heading; a very long one loses what stands between."""
    names = [*filter(None, [product_of(page)]), *trail_of(page), title_of(page), *path]
    while len(names) > 1 and _size(SEPARATOR.join(names)) > MOST_BREADCRUMB:
        names.pop(len(names) // 2)
    return (
        SEPARATOR.join(names) if _size(SEPARATOR.join(names)) <= MOST_BREADCRUMB else title_of(page)[:MOST_BREADCRUMB]
    )


def _size(text: str) -> int:
    """The counter is loaded when the first page is cut: who only imports the site does not wait for it."""
    return token_counter(EMBEDDER)(text)

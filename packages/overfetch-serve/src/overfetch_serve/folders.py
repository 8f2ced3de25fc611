"""A folder of documents as a site of its own."""

import re
from hashlib import sha256
from pathlib import Path

from overfetch import (
    Chunk,
    Collection,
    Document,
    Engine,
    FieldMap,
    RetrievalSettings,
    SettingsError,
    Site,
    chunk_by_headings,
)
from overfetch.provenance import split_sources

WORDS = 150  # some 200 tokens: what small embedders read, with the breadcrumb
CHUNKER = "folder/1/headings-150"
COLLECTION = "pages"


def folder_site(folder: Path) -> Site:
    """Its Markdown, text and record files in one collection, called after the folder.

    >>> folder_site(Path("/srv/My Pages 2")).name
    'my-pages-2'
    """
    given = folder.resolve().name
    name = re.sub(r"[^a-z0-9]+", "-", given.lower()).strip("-") or sha256(given.encode()).hexdigest()[:8]
    pages = Collection(
        name=COLLECTION,
        sample=folder,
        fields=FieldMap(metadata={}),
        chunk=_chunk,
        chunker=CHUNKER,
        answering="",
        retrieval=RetrievalSettings(top_k=20, top_n=5),
    )
    return Site(
        name=name if name[:1].isalpha() else f"folder-{name}", title=folder.name, collections=(pages,), ask=COLLECTION
    )


def folder_of(site: Site) -> Path | None:
    """The folder that is the site; None of any other."""
    return next((pages.sample for pages in site.collections if pages.chunker == CHUNKER), None)


def require_own(engine: Engine) -> None:
    """Raises SettingsError where what is indexed of a folder is another one of its name, which still is there."""
    folder = folder_of(engine.site)
    if folder is not None and engine.is_indexed(COLLECTION):
        folder, name = folder.resolve(), engine.name_of(COLLECTION)
        made_of = split_sources(engine.store.provenance(name).source).paths
        if others := [path for path in made_of if path != folder and path.is_dir()]:
            raise SettingsError(
                f"{name} is {others[0]}, which {folder} would replace: rename one of the two folders, or give this "
                "service a store of its own (OVERFETCH_QDRANT)"
            )


def _chunk(document: Document) -> list[Chunk]:
    return list(chunk_by_headings(document, WORDS))

"""mysite: every setting of this site, on one screen."""

from pathlib import Path

from mysite.chunking import CHUNKER, chunk_page
from mysite.understanding import understand
from overfetch import Collection, FieldMap, RetrievalSettings, Site

HERE = Path(__file__).parent

PAGES = Collection(
    name="pages",
    sample=HERE / "samples",
    judged=HERE / "judged" / "pages",
    # Which fields of a record, or of a page's front matter, are kept beside title and text.
    fields=FieldMap(metadata={"kind": ("kind",), "updated": ("updated",)}),
    # What `--where` can ask for; `names` is made by the chunker and looked up by `understand`.
    filters={"kind": "keyword", "updated": "date", "names": "keyword"},
    chunk=chunk_page,
    chunker=CHUNKER,
    understand=understand,
    answering="mysite.answering:answer_pages",
    retrieval=RetrievalSettings(top_k=20, top_n=5),
)

SITE = Site(
    name="mysite",
    title="mysite",
    collections=(PAGES,),
    ask="pages",
)

__all__ = ["SITE"]

"""Web pages as Markdown, by markdownify: writing what HTML means by hand would be a second parser."""

import re
from typing import NamedTuple

from bs4 import BeautifulSoup
from bs4.element import PreformattedString
from bs4.exceptions import ParserRejectedMarkup
from markdownify import ATX, MarkdownConverter

from overfetch.errors import CorpusError

# How a page looks, what it does, and where else one may go, which every page of a site has.
NOT_TEXT = ("script", "style", "template", "noscript", "svg", "iframe", "button", "nav", "footer")
XML = re.compile(r"\A\s*<\?xml[^>]*>")

# Nothing is escaped: a name is to be found and quoted as it is written.
_CONVERTER = MarkdownConverter(
    heading_style=ATX,
    bullets="-",
    strip=["a"],
    table_infer_header=True,
    escape_asterisks=False,
    escape_underscores=False,
)


class WebPage(NamedTuple):
    """Its title, None where it has none, and the text of its `main` part, else of all of it, as Markdown."""

    title: str | None
    text: str


def read_web_page(place: object, page: str) -> WebPage:
    """The title is the first `h1`, else the `title`. Raises CorpusError naming the place."""
    soup = _parse(place, page)
    titles = [" ".join(found.get_text().split()) for found in (soup.h1, soup.title) if found]
    if soup.title:
        soup.title.decompose()
    text: str = _CONVERTER.convert_soup(soup.main or soup)
    return WebPage(next(filter(None, titles), None), text.strip())


def _parse(place: object, page: str) -> BeautifulSoup:
    """Without what is no text; of pictures what they say, and no links that are a mark to click on."""
    try:
        # What begins so is taken for no file's name and no XML, of which the parser would warn.
        soup = BeautifulSoup(f"<!---->{XML.sub('', page, count=1)}", "html.parser")
    except ParserRejectedMarkup as error:
        raise CorpusError(f"{place}: HTML that cannot be read: {error}") from error
    for element in [*soup(NOT_TEXT), *soup(string=lambda text: isinstance(text, PreformattedString))]:
        element.extract()
    for picture in soup("img"):
        picture.replace_with(str(picture.get("alt", "")))
    for link in soup("a"):
        if not any(map(str.isalnum, link.get_text())):
            link.extract()
    return soup

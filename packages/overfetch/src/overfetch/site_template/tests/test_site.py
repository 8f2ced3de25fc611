"""What every site keeps, and what only this one promises."""

from mysite import SITE
from overfetch.testing import SiteContract


class TestSite(SiteContract):
    site = SITE
    questions = (("pages", "how do I bring my own documents", "own-documents"),)

    def test_a_name_that_no_page_has_is_missing(self) -> None:
        retrieval = self.engine.search("pages", "what does --no-such-option do")
        assert retrieval.understood is not None
        assert retrieval.understood.missing == ("--no-such-option",)

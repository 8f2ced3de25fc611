"""For tests of sites and services: fakes, and what every site keeps."""

from overfetch.testing.contract import SiteContract
from overfetch.testing.fakes import FakeEmbedder, FakeReranker, FakeStore, fake_spec, open_fake, words_of
from overfetch.testing.importing import HEAVY, SLOW, imported_by

__all__ = [
    "HEAVY",
    "SLOW",
    "FakeEmbedder",
    "FakeReranker",
    "FakeStore",
    "SiteContract",
    "fake_spec",
    "imported_by",
    "open_fake",
    "words_of",
]

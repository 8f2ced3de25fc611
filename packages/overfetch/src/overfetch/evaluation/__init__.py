"""How well a collection is searched, with and without the second stage."""

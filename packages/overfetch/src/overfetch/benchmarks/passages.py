"""What is read in a comparison: passages of known length distribution, or a site's own."""

import random
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from overfetch.errors import SettingsError
from overfetch.evaluation.collections import as_site
from overfetch.indexing import to_passages
from overfetch.sites import load_site

MEAN_TOKENS, SPREAD, SEED = 137, 0.6, 7  # of the logarithm; twenty such pairs are 2,742 tokens, the longest about 335
QUERY = "how do I pin a reranker to one version"
WORDS = 40_000


def log_normal_passages(tokenizer: Tokenizer, text: str, count: int, extra: int = 0) -> list[str]:
    """Consecutive pieces of the text, MEAN_TOKENS on average with the `extra` that each pair has besides.

    The text comes round again where it is too short.
    """
    drawn = np.random.default_rng(SEED).lognormal(sigma=SPREAD, size=count)
    lengths = np.maximum(1, np.round(drawn * count * MEAN_TOKENS / drawn.sum()) - extra).astype(int)
    passages, at = [], 0
    for length in lengths:
        wanted = 12 * int(length)
        if at + wanted > len(text):
            at = 0
        piece = text[at : at + wanted]
        encoding = tokenizer.encode(piece, add_special_tokens=False)
        end = encoding.offsets[min(int(length), len(encoding)) - 1][1]
        passages.append(piece[:end])
        at += end
    return passages


def own_passages(target: str, count: int) -> list[str]:
    """As rerankers read them, drawn with a fixed seed, from SITE/COLLECTION or a folder in BEIR layout."""
    folder, (site, _, name) = Path(target), target.partition("/")
    found = as_site(folder) if folder.is_dir() else load_site(site)
    collection = found.collection(name) if name and not folder.is_dir() else found.collections[0]
    readings = [passage.reading for document in collection.read() for passage in to_passages(collection, document)]
    if not readings:
        raise SettingsError(f"{target} has no passage to read")
    return random.Random(SEED).choices(readings, k=count)


def generated_text(tokenizer: Tokenizer) -> str:
    """Whole words of the vocabulary at random: what they say does not matter to the time they take."""
    words = sorted(word for word in tokenizer.get_vocab() if word.isascii() and word.isalpha() and len(word) > 2)
    return " ".join(random.Random(SEED).choices(words, k=WORDS))

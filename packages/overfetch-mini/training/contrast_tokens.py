"""Tokens of all that a reader is trained on, prepared once: written sets, judged lists, groups that keep retrieval.

    uv run --group dev python packages/overfetch-mini/training/contrast_tokens.py --pairs PAIRS.jsonl [FOLDER ...]
        --out prepared.npz

A group is a training pair (pairs.py) with passages that BM25 ranks high for its query, but below BELOW of its own
passage's score: what is as good may answer too (`contrast_mining.py` adds what a bi-encoder finds). Queries without an
answer come last: their own passage is BM25's first, and only a teacher says what answers them. The files of
`written.DEV` come first and are never trained on.
"""

import argparse
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
from judged import JudgedList, read_judged
from numpy.typing import NDArray
from pairs import SEED, Pair, is_held_out, read_pairs
from tokenizers import Tokenizer
from written import DEV, FOLDER, ContrastSet, read_public, read_sets

VOCABULARY = Path(__file__).parent.parent / "src/overfetch_mini/weights/all-minilm-l6-v2/tokenizer.json"
QUERY_TOKENS, PASSAGE_TOKENS = 64, 200
KEPT, LOOKED_AT, FEWEST, BELOW = 11, 60, 4, 0.9

Arrays = dict[str, Any]  # of NumPy, by name: what `savez` takes


def tokens_of(name: str, texts: Sequence[str], longest: int, tokenizer: Tokenizer) -> Arrays:
    """All ids of the texts in one row, and where each text begins."""
    ids = [encoding.ids[:longest] for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]
    flat = np.array([token for own in ids for token in own], np.uint16)
    return {f"{name}_ids": flat, f"{name}_offsets": starts_of(map(len, ids))}


def starts_of(sizes: Iterable[int]) -> NDArray[np.int32]:
    return np.cumsum([0, *sizes]).astype(np.int32)


def sets_of(sets: Sequence[ContrastSet], held_out: int, written: int, tokenizer: Tokenizer) -> Arrays:
    """Those that are held out come first, what was not written for this last."""
    return {
        **tokens_of("set_queries", [q for s in sets for q in s.queries], QUERY_TOKENS, tokenizer),
        **tokens_of("set_passages", [p for s in sets for p in s.passages], PASSAGE_TOKENS, tokenizer),
        "set_starts": starts_of(len(s.queries) for s in sets),
        "held_out": np.array(held_out),
        "written": np.array(written),
    }


def lists_of(judged: Sequence[JudgedList], tokenizer: Tokenizer) -> Arrays:
    """Those of at least two grades, held out ones first: others have no order to learn."""
    kept = sorted((one for one in judged if len(set(one.grades)) > 1), key=lambda one: not one.held_out)
    return {
        **tokens_of("judged_queries", [one.query for one in kept], QUERY_TOKENS, tokenizer),
        **tokens_of("judged_passages", [text for one in kept for text in one.passages], PASSAGE_TOKENS, tokenizer),
        "judged_starts": starts_of(len(one.passages) for one in kept),
        "judged_held_out": np.array(sum(one.held_out for one in kept)),
        "grades": np.array([grade for one in kept for grade in one.grades], np.int8),
    }


def groups_of(pairs: Sequence[Pair], tokenizer: Tokenizer) -> Arrays:
    """Queries and passages; by place each query's own passage and the others of its group, -1 where there are fewer."""
    passages = sorted({pair["positive"] for pair in pairs if pair["positive"]})
    place = {passage: number for number, passage in enumerate(passages)}
    asked = sorted((pair for pair in pairs if pair["query"]), key=lambda pair: pair["positive"] is None)
    groups = groups_by_words(
        [pair["query"] for pair in asked], passages, [place.get(pair["positive"], -1) for pair in asked]
    )
    kept = [number for number, found in enumerate(groups) if len(found) > FEWEST]
    return {
        **tokens_of("group_queries", [asked[number]["query"] for number in kept], QUERY_TOKENS, tokenizer),
        **tokens_of("group_passages", passages, PASSAGE_TOKENS, tokenizer),
        "labelled": np.array(sum(asked[number]["positive"] is not None for number in kept)),
        "own": np.array([groups[number][0] for number in kept], np.int32),
        "others": np.array([(groups[number][1:] + [-1] * KEPT)[:KEPT] for number in kept], np.int32),
    }


def groups_by_words(queries: Sequence[str], passages: Sequence[str], own: Sequence[int]) -> list[list[int]]:
    """Of each query its own passage (its best where that is -1) and those that BM25 ranks high, clearly below it."""
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(passages), show_progress=False), show_progress=False)
    asked = bm25s.tokenize(list(queries), show_progress=False, return_ids=False)
    found, scores = index.retrieve(asked, k=min(LOOKED_AT, len(passages)), show_progress=False)
    chosen: list[list[int]] = []
    for known, places, merits in zip(own, found, scores, strict=True):
        right, limit = (int(places[0]), float(merits[0]) + 1) if known < 0 else (known, 0.0)
        best = next((BELOW * merit for place, merit in zip(places, merits, strict=True) if place == right), 0.0)
        ranked = zip(places, merits, strict=True)
        below = [int(place) for place, merit in ranked if place != right and 0 < merit < max(limit, best)]
        chosen.append([right, *below[:KEPT]])
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, nargs="+", required=True)
    parser.add_argument("--public", type=Path, nargs="*", default=(), help="crossed sets of others (public.py)")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(VOCABULARY))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    paths = sorted(FOLDER.glob("*.jsonl"), key=lambda path: (path.stem not in DEV, path.stem))
    held_out = sum(1 for path in paths if path.stem in DEV for _ in read_sets(path))
    written = [s for path in paths for s in read_sets(path)]
    sets = [*written, *(s for path in options.public for s in read_public(path))]
    pairs = [pair for pair in read_pairs(options.pairs) if not (pair["query"] and is_held_out(pair))]
    random.Random(SEED).shuffle(pairs)
    arrays = sets_of(sets, held_out, len(written), tokenizer) | lists_of(read_judged(), tokenizer)
    arrays |= groups_of(pairs, tokenizer)
    np.savez_compressed(options.out, **arrays)
    counts = f"{len(written)} sets, {held_out} held out, {len(sets) - len(written)} public ones"
    print(f"{counts}, {len(arrays['judged_starts']) - 1} judged lists, {len(arrays['own'])} groups: {options.out}")


if __name__ == "__main__":
    main()

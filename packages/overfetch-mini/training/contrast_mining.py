"""Hard passages for the groups of `contrast_tokens.py`: what a bi-encoder puts near the query, in turn with BM25's.

    uv run --group dev python packages/overfetch-mini/training/contrast_mining.py --base FOLDER
        --prepared prepared.npz --out mined.npz

`--base` is a bi-encoder that means its tokens (all-mpnet-base-v2). What it puts above BELOW of the score of the query's
own passage may answer too (NV-Retriever, Moreira et al. 2024, arXiv 2407.15831), as may a near copy of it, or what the
same query asks for elsewhere: none of these is taken. BM25 alone would teach that what shares most words is right.
"""

import argparse
from collections import defaultdict
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contrast_batches import Batches
from contrast_reader import as_mpnet
from contrast_tokens import KEPT
from transformers import AutoModel

BELOW, NEAR_COPY, DEPTH = 0.95, 0.95, 100  # of the own passage's cosine; cosine of two passages; looked at
RUN_TOKENS, AT_ONCE = 2**16, 2048


@torch.inference_mode()
def embed(encoder: Any, batches: Batches, name: str) -> torch.Tensor:
    """float32 [texts, width], unit length."""
    sizes = np.diff(batches.offsets[name])
    order = np.argsort(sizes, kind="stable")
    found = []
    for part in np.array_split(order, -(-int(sizes.sum()) // RUN_TOKENS)):
        ids, mask, _ = batches.texts(name, part)
        with torch.autocast(batches.device, torch.bfloat16):
            states = encoder(input_ids=as_mpnet(ids), attention_mask=mask).last_hidden_state.float()
        mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
        found.append(torch.nn.functional.normalize(mean, dim=1))
    return torch.cat(found)[torch.from_numpy(np.argsort(order, kind="stable")).to(batches.device)]


@torch.inference_mode()
def mine(queries: torch.Tensor, passages: torch.Tensor, batches: Batches) -> list[list[int]]:
    """Of each group the places that may stand beside its own, nearest first."""
    known, asked = _answers(batches)
    mined = []
    for start in range(0, len(queries), AT_ONCE):
        own = torch.from_numpy(batches.members[start : start + AT_ONCE, 0]).to(queries.device)
        cosines = queries[start : start + AT_ONCE] @ passages.T
        near, places = cosines.topk(min(DEPTH, len(passages)), dim=1)
        limit = BELOW * cosines.gather(1, own[:, None])
        limit[max(0, batches.labelled - start) :] = 2.0  # without an answer nothing is known to be too near
        copies = (passages[places] @ passages[own][:, :, None]).squeeze(2) > NEAR_COPY
        fit = (near < limit) & ~copies & (places != own[:, None])
        for row, (chosen, good) in enumerate(zip(places.tolist(), fit.tolist(), strict=True)):
            also = known[asked[start + row]]
            mined.append([place for place, right in zip(chosen, good, strict=True) if right and place not in also])
    return mined


def _answers(batches: Batches) -> tuple[dict[bytes, set[int]], list[bytes]]:
    """Own passages of every query that is asked in the same words, and each query's words."""
    ids, offsets = batches.tokens["group_queries"].cpu().numpy(), batches.offsets["group_queries"]
    asked = [ids[start:end].tobytes() for start, end in pairwise(offsets)]
    known = defaultdict(set)
    for words, place in zip(asked, batches.members[:, 0].tolist(), strict=True):
        known[words].add(place)
    return known, asked


def in_turn(first: list[int], second: list[int]) -> list[int]:
    taken = dict.fromkeys(place for two in zip_longest(first, second, fillvalue=-1) for place in two if place >= 0)
    return ([*taken] + [-1] * KEPT)[:KEPT]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "prepared", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    arrays = dict(np.load(options.prepared))
    batches = Batches(arrays, device)
    encoder = AutoModel.from_pretrained(options.base, dtype=torch.float32, add_pooling_layer=False).to(device).eval()
    queries, passages = (embed(encoder, batches, f"group_{name}") for name in ("queries", "passages"))
    mined = mine(queries, passages, batches)
    by_words = batches.members[:, 1:].tolist()
    arrays["others"] = np.array([in_turn(*both) for both in zip(mined, by_words, strict=True)], np.int32)
    np.savez(options.out, **arrays)
    print(f"{np.mean([len(own) for own in mined]):.1f} near passages a group that may stand beside its own")


if __name__ == "__main__":
    main()

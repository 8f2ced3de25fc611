"""What a trained reader scores: all that a student can be taught by, small enough to land as data.

    uv run --group dev python packages/overfetch-mini/training/contrast_scores.py --base FOLDER --start PARTS
        --prepared prepared.npz --out scores.npz [--groups 40000]

Logits in float16: of each set every query with every passage, of each judged list its passages, of groups their
members (of those with an answer and of the others in equal shares of what there is), which the scores name too. They
belong to the prepared file that was scored, and to no other: its sum stands in them.
"""

import argparse
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contrast_batches import NONE, WIDTH, Batches, Scored
from contrast_reader import Reader, load_parts
from torch.nn import Module

AT_ONCE = 128


@torch.inference_mode()
def score(reader: Module, batches: Batches, groups: Sequence[int]) -> dict[str, Any]:
    """float16 arrays by name: sets [sets, WIDTH, WIDTH], judged [passages], groups [groups, members]."""
    reader.eval()
    sets = [
        batches.set_logits(reader, range(start, min(start + AT_ONCE, batches.sets))).logits.half().cpu().numpy()
        for start in range(0, batches.sets, AT_ONCE)
    ]
    judged = [batches.list_logits(reader, number).half().cpu().numpy() for number in range(batches.judged)]
    found = np.full((batches.groups, batches.members.shape[1]), np.nan, np.float16)
    for start in range(0, len(groups), AT_ONCE):
        chosen = np.array(groups[start : start + AT_ONCE])
        row, member = np.nonzero(batches.members[chosen] >= 0)
        logits = batches.member_logits(reader, chosen[row], member)
        found[chosen[row], member] = logits.half().cpu().numpy()
    return {"sets": np.concatenate(sets), "judged": np.concatenate(judged), "groups": found}


def sum_of(arrays: Mapping[str, Any]) -> str:
    """sha256 of what was prepared, whatever was mined for its groups."""
    found = sha256()
    for name in sorted(arrays.keys() - {"others"}):
        found.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return found.hexdigest()


def read_scores(path: Path, prepared: dict[str, Any]) -> dict[str, Any]:
    """The scores of what is prepared, whose groups become those that were scored.

    Raises ValueError where they are of something else.
    """
    scores = dict(np.load(path))
    if (scored := str(scores["prepared"])) != (own := sum_of(prepared)):
        raise ValueError(f"{path} holds scores of {scored}, not of what is prepared here, {own}")
    prepared["others"] = scores["others"]
    return scores


class Taught:
    """Scores on a device, as `Batches` gives logits of what is drawn."""

    def __init__(self, arrays: Mapping[str, Any], device: str) -> None:
        self.sets, self.judged = (torch.tensor(arrays[name]).to(device).float() for name in ("sets", "judged"))
        self.known = np.flatnonzero(~np.isnan(arrays["groups"][:, 0])).tolist()
        self.groups = torch.tensor(np.nan_to_num(arrays["groups"], nan=NONE)).to(device).float()

    def set_logits(self, chosen: Sequence[int], siblings: Sequence[Sequence[int]], real: torch.Tensor) -> Scored:
        order = np.zeros((len(chosen), WIDTH), np.int64)
        for row, own in enumerate(siblings):
            order[row, : len(own)] = own
        at = torch.from_numpy(order).to(self.sets.device)
        wanted = self.sets[torch.tensor(chosen, device=at.device)[:, None, None], at[:, :, None], at[:, None, :]]
        return Scored(wanted.masked_fill(~(real[:, :, None] & real[:, None, :]), NONE), real)

    def group_logits(self, chosen: Sequence[int], drawn: Sequence[Sequence[int]], real: torch.Tensor) -> Scored:
        rows = torch.tensor(chosen, device=real.device)[:, None]
        return Scored(self.groups[rows, _padded(drawn, real)].masked_fill(~real, NONE), real)

    def judged_logits(self, drawn: Sequence[Sequence[int]], real: torch.Tensor) -> Scored:
        return Scored(self.judged[_padded(drawn, real)].masked_fill(~real, NONE), real)


def _padded(drawn: Sequence[Sequence[int]], real: torch.Tensor) -> torch.Tensor:
    width = real.shape[1]
    return torch.tensor([[*own, *[0] * (width - len(own))] for own in drawn], device=real.device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "start", "prepared", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--groups", type=int, default=40_000, help="at most")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    arrays = dict(np.load(options.prepared))
    batches = Batches(arrays, device)
    reader = Reader(options.base, weights=False)
    reader.load_state_dict(load_parts(options.start))
    every = np.linspace(0, batches.groups - 1, min(options.groups, batches.groups)).astype(int).tolist()
    scores = score(reader.to(device), batches, every)
    np.savez_compressed(options.out, prepared=np.array(sum_of(arrays)), others=arrays["others"], **scores)
    print(f"{len(every)} groups, {len(scores['sets'])} sets, {len(scores['judged'])} judged passages: {options.out}")


if __name__ == "__main__":
    main()

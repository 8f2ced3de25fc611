"""Batches put together on the device: no tokenizer, no transfer and no loop over pairs in a training step."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from contrast_reader import CLS, SEP
from contrast_tokens import Arrays, starts_of
from numpy.typing import NDArray
from torch.nn import Module

WIDTH, OTHERS = 6, 7  # siblings of a set, other passages that are drawn of a group
NONE = -1e4  # the logit of a place that a smaller set does not have
MULTIPLE = 8  # tokens of a batch are padded to a multiple of it
RUN_TOKENS = {"cuda": 2**13, "cpu": 2**11}  # read at once: a GPU's work, a CPU's cache (3 times as fast as 2**14)

Places = NDArray[np.int64]


class Scored(NamedTuple):
    """float32 logits [sets, queries, passages] or [groups, passages], and which places there are."""

    logits: torch.Tensor
    real: torch.Tensor


class Batches:
    """Prepared tokens on a device, and the logits that a reader gives pairs of them."""

    def __init__(self, arrays: Arrays, device: str) -> None:
        self.device = device
        self.tokens = {
            name[:-4]: self._put(ids.astype(np.int64)) for name, ids in arrays.items() if name.endswith("_ids")
        }
        self.offsets = {
            name[:-8]: values.astype(np.int64) for name, values in arrays.items() if name.endswith("_offsets")
        }
        self.set_starts = arrays["set_starts"].astype(np.int64)
        self.held_out, self.written = int(arrays["held_out"]), int(arrays["written"])
        self.members = np.column_stack([arrays["own"], arrays["others"]]).astype(np.int64)
        self.labelled = int(arrays["labelled"])
        self.judged_held_out = int(arrays["judged_held_out"])
        self.judged_starts, self.grades = arrays["judged_starts"].astype(np.int64), arrays["grades"].astype(np.int64)

    @property
    def sets(self) -> int:
        return len(self.set_starts) - 1

    @property
    def groups(self) -> int:
        return len(self.members)

    @property
    def judged(self) -> int:
        return len(self.judged_starts) - 1

    def draw_siblings(self, chosen: Sequence[int], most: int, draw: random.Random) -> list[list[int]]:
        """Of each set so many of its places, in any order; all of a smaller one."""
        sizes = np.diff(self.set_starts)[np.array(chosen)].tolist()
        return [draw.sample(range(size), min(most, size)) for size in sizes]

    def set_logits(
        self, reader: Module, chosen: Sequence[int], siblings: Sequence[Sequence[int]] | None = None
    ) -> Scored:
        """Every query of a set with every passage of it, or of those `siblings` of it."""
        drawn = siblings or [range(size) for size in np.diff(self.set_starts)[np.array(chosen)].tolist()]
        sizes = np.array([len(own) for own in drawn])
        starts = self.set_starts[np.array(chosen)]
        row = np.repeat(np.arange(len(chosen)), sizes**2)
        inner = np.concatenate([np.arange(size**2) for size in sizes])
        query, passage = inner // sizes[row], inner % sizes[row]
        places = np.concatenate([start + np.array(own) for start, own in zip(starts, drawn, strict=True)])
        first = starts_of(sizes)[:-1].astype(np.int64)
        logits = self._logits(reader, "set", places[first[row] + query], places[first[row] + passage])
        flat = self._filled(len(chosen) * WIDTH**2, (row * WIDTH + query) * WIDTH + passage, logits)
        real = self._put(np.arange(WIDTH)[None] < sizes[:, None])
        return Scored(flat.view(-1, WIDTH, WIDTH), real)

    def draw_group(self, group: int, draw: random.Random) -> list[int]:
        """Which of its members: its query's own passage, first, and a few others."""
        known = np.flatnonzero(self.members[group] >= 0)[1:].tolist()
        return [0, *draw.sample(known, min(OTHERS, len(known)))]

    def draw_judged(self, number: int, draw: random.Random) -> list[int]:
        """Some candidates of a judged list, of at least two grades."""
        start, end = self.judged_starts[number : number + 2].tolist()
        best = [place for place in range(start, end) if self.grades[place] == self.grades[start:end].max()]
        first = draw.choice(best)
        worse = draw.choice([place for place in range(start, end) if place not in best])
        others = [place for place in range(start, end) if place not in (first, worse)]
        return [first, worse, *draw.sample(others, min(OTHERS - 1, len(others)))]

    def list_logits(self, reader: Module, number: int) -> torch.Tensor:
        """float32 [candidates], of a whole judged list."""
        places = np.arange(*self.judged_starts[number : number + 2].tolist())
        return self._logits(reader, "judged", np.full(len(places), number), places)

    def grades_of(self, drawn: Sequence[Sequence[int]]) -> torch.Tensor:
        """int64 [lists, passages]; -1 where a list has fewer."""
        grades = [[*self.grades[list(own)].tolist(), *[-1] * (OTHERS + 1 - len(own))] for own in drawn]
        return self._put(np.array(grades, np.int64))

    def group_logits(
        self, reader: Module, chosen: Sequence[int], drawn: Sequence[Sequence[int]], kind: str = "group"
    ) -> Scored:
        """Each query, of a group or a `judged` list, with the members or passages drawn for it."""
        sizes = np.array([len(own) for own in drawn])
        row = np.repeat(np.arange(len(chosen)), sizes)
        place = np.concatenate([np.arange(size) for size in sizes])
        asked, passages = np.array(chosen)[row], np.concatenate(drawn)
        logits = self._logits(reader, kind, asked, self.members[asked, passages] if kind == "group" else passages)
        flat = self._filled(len(chosen) * (OTHERS + 1), row * (OTHERS + 1) + place, logits)
        return Scored(flat.view(len(chosen), -1), self._put(np.arange(OTHERS + 1)[None] < sizes[:, None]))

    def member_logits(self, reader: Module, groups: Places, members: Places) -> torch.Tensor:
        """float32 [pairs], of a group and a member of it each."""
        return self._logits(reader, "group", groups, self.members[groups, members])

    def _filled(self, size: int, places: Places, logits: torch.Tensor) -> torch.Tensor:
        return torch.full((size,), NONE, device=self.device).index_put((self._put(places),), logits)

    def _logits(self, reader: Module, kind: str, queries: Places, passages: Places) -> torch.Tensor:
        """In runs of pairs of like length. A CPU multiplies float32 twice as fast as bfloat16 without AMX."""
        sizes = self._sizes(f"{kind}_queries")[queries] + self._sizes(f"{kind}_passages")[passages]
        order = np.argsort(sizes, kind="stable")
        found = []
        runs = -(-int(sizes.sum()) // RUN_TOKENS[self.device])
        for part in np.array_split(order, min(runs, len(order))):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
                found.append(reader(*self._pairs(kind, queries[part], passages[part])))
        return torch.cat(found)[self._put(np.argsort(order, kind="stable"))]

    def texts(self, name: str, chosen: Places) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, mask and types of `[CLS] text [SEP]`."""
        sizes = self._sizes(name)[chosen]
        at = torch.arange(int(sizes.max()) + 2, device=self.device)[None]
        own = self._put(sizes)[:, None]
        ids = self._gathered(name, chosen, at - 1, own) + CLS * (at == 0) + SEP * (at == own + 1)
        return ids, (at <= own + 1).long(), torch.zeros_like(ids)

    def _pairs(self, kind: str, queries: Places, passages: Places) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Ids, mask and types of `[CLS] query [SEP] passage [SEP]`."""
        asked, read = self._sizes(f"{kind}_queries")[queries], self._sizes(f"{kind}_passages")[passages]
        width = -(-(int((asked + read).max()) + 3) // MULTIPLE) * MULTIPLE
        at = torch.arange(width, device=self.device)[None]
        asked_, read_ = self._put(asked)[:, None], self._put(read)[:, None]
        ids = self._gathered(f"{kind}_queries", queries, at - 1, asked_)
        ids += self._gathered(f"{kind}_passages", passages, at - asked_ - 2, read_)
        ids += CLS * (at == 0) + SEP * ((at == asked_ + 1) | (at == asked_ + read_ + 2))
        mask = (at <= asked_ + read_ + 2).long()
        return ids, mask, (at > asked_ + 1).long() * mask

    def _gathered(self, name: str, texts: Places, at: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
        """The texts' tokens at these places of theirs, 0 outside."""
        tokens, first = self.tokens[name], self._put(self.offsets[name][texts])[:, None]
        return tokens[(first + at).clamp(0, len(tokens) - 1)] * ((at >= 0) & (at < size))

    def _sizes(self, name: str) -> Places:
        sizes: Places = np.diff(self.offsets[name])
        return sizes

    def _put(self, values: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device, non_blocking=True)

"""Train a cross-encoder to read: the right one among siblings, in both directions; what was judged; and retrieval.

    uv run --group dev python packages/overfetch-mini/training/contrast.py --base FOLDER --prepared prepared.npz
        --out RUN --seconds 600 [--rate 3e-5] [--sets 16] [--public 12] [--siblings 6] [--groups 16] [--judged 8]
        [--reports 4] [--start PARTS]
    uv run --group dev python packages/overfetch-mini/training/contrast.py --student overfetch-mini
        --prepared prepared.npz --out RUN ... [--taught SCORES | --remembered 1.0 [--before overfetch-mini]]

`--base` is a folder of BERT's or MPNet's shape; with `--start` its weights come from the parts of a run before. A
`--student` is a model that ships, trained further, or a run of one; `export.py` takes its run. `--remembered` is the
weight of what it, or `--before`, scored groups before (divergence), so that it reads contrast and forgets no retrieval;
`--taught` adds what a teacher scored (`contrast_scores.py`): of sets and lists beside the labels, of groups in their
place, the known answer raised by BONUS. `--siblings` bounds those that are drawn of a set at a time. Ends when its time
is over: the rate falls to zero with it. Weights are averaged along the way (AVERAGED of the last average a step); the
averaged ones are judged and kept (as int8 in parts, a student's whole too), beside a log of the curves. Runs on a GPU
in bfloat16, or on a CPU in float32 (a tenth faster where a step's memory does not go back to the kernel:
`MALLOC_MMAP_THRESHOLD_=4000000000 MALLOC_TRIM_THRESHOLD_=400000000000`).
"""

import argparse
import copy
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from contrast_batches import WIDTH, Batches, Scored
from contrast_judging import judge
from contrast_reader import Reader, Trainable, load_parts
from contrast_scores import Taught, read_scores
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

SEED = 7
SHARES = (1.0, 0.5, 1.0)  # of the losses of sets, groups and judged lists
BONUS = 1.0  # logits that a teacher's score of a known answer is raised by
WARM_UP_STEPS = 50
AVERAGED = 0.995


def contrast_loss(scored: Scored) -> torch.Tensor:
    """Cross-entropy in both directions, over the places that there are."""
    right = torch.arange(WIDTH, device=scored.logits.device).expand(len(scored.logits), -1)
    passages = functional.cross_entropy(scored.logits.transpose(1, 2), right, reduction="none")
    queries = functional.cross_entropy(scored.logits, right, reduction="none")
    return ((passages + queries) / 2 * scored.real).sum() / scored.real.sum()


def group_loss(scored: Scored) -> torch.Tensor:
    return functional.cross_entropy(
        scored.logits, torch.zeros(len(scored.logits), dtype=torch.long, device=scored.logits.device)
    )


def judged_loss(scored: Scored, grades: torch.Tensor) -> torch.Tensor:
    """RankNet (Burges et al. 2005): of two passages the higher grade first, as important as the grades lie apart."""
    apart = (grades[:, :, None] - grades[:, None, :]).clamp(min=0) * (scored.real[:, :, None] & scored.real[:, None, :])
    lost = functional.softplus(scored.logits[:, None, :] - scored.logits[:, :, None])
    return (lost * apart).sum() / apart.sum()


def divergence(scored: Scored, wanted: Scored, axis: int = 1) -> torch.Tensor:
    """Kullback-Leibler, from what another reader scores the same: of all rows that there are the mean."""
    own, aim = scored.logits.log_softmax(axis), wanted.logits.log_softmax(axis)
    apart = functional.kl_div(own, aim, reduction="none", log_target=True).sum(axis)
    return (apart.sum() / scored.real.sum()) if apart.dim() > 1 else apart.mean()


class Endless:
    """Numbers of a range in seeded order, again and again."""

    def __init__(self, numbers: Sequence[int], draw: random.Random) -> None:
        self.numbers, self.draw, self.waiting = numbers, draw, list[int]()

    def take(self, count: int) -> list[int]:
        while len(self.waiting) < count and len(self.numbers):
            self.waiting += self.draw.sample(self.numbers, len(self.numbers))
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken


@torch.no_grad()
def average(kept: Sequence[torch.Tensor], now: Sequence[torch.Tensor], number: torch.Tensor | int) -> None:
    """Moves what is kept towards what is now: a moving average that forgets its beginning (as TensorFlow's does)."""
    torch._foreach_lerp_(list(kept), list(now), 1 - min(AVERAGED, (1 + int(number)) / (10 + int(number))))


class Clock:
    """How much of a run is over, by its steps or else by the seconds that it worked."""

    def __init__(self, seconds: float, steps: int | None) -> None:
        self.seconds, self.steps, self.step = seconds, steps, 0
        self._began, self._judging = time.monotonic(), 0.0

    @property
    def worked(self) -> float:
        return time.monotonic() - self._began - self._judging

    @property
    def share(self) -> float:
        return self.step / self.steps if self.steps else self.worked / self.seconds

    @contextmanager
    def stopped(self) -> Iterator[None]:
        paused = time.monotonic()
        yield
        self._judging += time.monotonic() - paused


class Steps:
    """One after the other, each with the next sets, groups and judged lists."""

    def __init__(
        self,
        reader: Trainable,
        batches: Batches,
        options: argparse.Namespace,
        before: Trainable | None,
        taught: Taught | None,
    ) -> None:
        self.reader, self.batches, self.options, self.before, self.taught = reader, batches, options, before, taught
        self.draw = random.Random(SEED)
        self.sets = Endless(range(batches.held_out, batches.written), self.draw)
        self.public = Endless(range(batches.written, batches.sets), self.draw)
        self.groups = Endless(self.taught.known if self.taught else range(batches.labelled), self.draw)
        self.lists = Endless(range(batches.judged_held_out, batches.judged), self.draw)

    def read(self) -> torch.Tensor:
        chosen = self.sets.take(self.options.sets) + self.public.take(self.options.public)
        siblings = self.batches.draw_siblings(chosen, self.options.siblings, self.draw)
        scored = self.batches.set_logits(self.reader, chosen, siblings=siblings)
        if self.taught is None:
            return contrast_loss(scored)
        wanted = self.taught.set_logits(chosen, siblings, scored.real)
        copied = (divergence(scored, wanted, 1) + divergence(scored, wanted, 2)) / 2
        return contrast_loss(scored) + copied

    def found(self) -> torch.Tensor:
        groups = self.groups.take(self.options.groups)
        drawn = [self.batches.draw_group(group, self.draw) for group in groups]
        scored = self.batches.group_logits(self.reader, groups, drawn)
        if self.taught is not None:
            wanted = self.taught.group_logits(groups, drawn, scored.real)
            wanted.logits[:, 0] += BONUS * torch.tensor(groups, device=wanted.real.device).lt(self.batches.labelled)
            return 2 * divergence(scored, wanted)
        if self.before is None:
            return group_loss(scored)
        with torch.no_grad():
            wanted = self.batches.group_logits(self.before, groups, drawn)
        forgotten = divergence(scored, wanted)
        return group_loss(scored) + forgotten * float(self.options.remembered)

    def judged(self) -> torch.Tensor:
        lists = self.lists.take(self.options.judged)
        drawn = [self.batches.draw_judged(number, self.draw) for number in lists]
        scored = self.batches.group_logits(self.reader, lists, drawn, "judged")
        loss = judged_loss(scored, self.batches.grades_of(drawn))
        return loss + divergence(scored, self.taught.judged_logits(drawn, scored.real)) if self.taught else loss

    def take(self, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        """The three losses, float32 [3], left on the device; 0 for what is left out."""
        self.reader.train()
        optimizer.zero_grad()
        losses = []
        sizes = (self.options.sets + self.options.public, self.options.groups, self.options.judged)
        for size, share, work in zip(sizes, SHARES, (self.read, self.found, self.judged), strict=True):
            if not size:
                losses.append(torch.zeros((), device=self.batches.device))
                continue
            loss = work()
            (loss * share).backward()  # one after the other: a graph of all three would not fit a GPU
            losses.append(loss.detach())
        torch.nn.utils.clip_grad_norm_(self.reader.parameters(), 1.0)
        optimizer.step()
        return torch.stack(losses)


def train(
    reader: Trainable, batches: Batches, options: argparse.Namespace, before: Trainable | None, taught: Taught | None
) -> Iterator[dict[str, Any]]:
    """One entry of the curve after another, at each of which the averaged weights are kept."""
    steps = Steps(reader, batches, options, before, taught)
    averaged = AveragedModel(reader, multi_avg_fn=average)
    optimizer, rates = _optimizer(reader, options.rate)
    clock = Clock(options.seconds, options.steps)
    for report in range(1, options.reports + 1):
        losses = list[torch.Tensor]()
        while clock.share < report / options.reports:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, (clock.step + 1) / WARM_UP_STEPS) * max(0.0, 1 - clock.share)
            losses.append(steps.take(optimizer))
            averaged.update_parameters(reader)
            clock.step += 1
            if clock.step % 10 == 0 and batches.device == "cuda":
                torch.cuda.synchronize()  # else the clock runs ahead of the work
        with clock.stopped():
            judged = cast(Trainable, averaged.module)
            judged.keep(options.out)
            yield _entry(clock, losses, batches, options.sets) | judge(judged, batches)


def _entry(clock: Clock, losses: Sequence[torch.Tensor], batches: Batches, sets: int) -> dict[str, Any]:
    read, found, ordered = torch.stack(list(losses)).mean(0).tolist()
    passes = clock.step * sets / (batches.written - batches.held_out)
    return {
        "seconds": round(clock.worked),
        "step": clock.step,
        "passes": round(passes, 2),
        "contrast": round(read, 4),
        "groups": round(found, 4),
        "judged": round(ordered, 4),
    }


def _optimizer(reader: Trainable, rate: float) -> tuple[torch.optim.Optimizer, list[float]]:
    parts = [{"params": part} for part in reader.parts()]
    made = torch.optim.AdamW(parts, lr=rate, weight_decay=0.01, fused=next(reader.parameters()).is_cuda)
    return made, [rate, max(reader.head_rate, rate)]


def _reader(options: argparse.Namespace) -> Trainable:
    if options.student:
        from contrast_student import Student

        return Student(options.student)
    reader = Reader(options.base, weights=options.start is None)
    if options.start:
        reader.load_state_dict(load_parts(options.start))
    return reader


def _before(options: argparse.Namespace, reader: Trainable) -> Trainable:
    if options.before:
        from contrast_student import Student

        return Student(options.before)
    return copy.deepcopy(reader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("prepared", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    begun = parser.add_mutually_exclusive_group(required=True)
    begun.add_argument("--base", type=Path)
    begun.add_argument("--student", help="a model that ships, or the folder of a run of one")
    parser.add_argument("--start", type=Path, help="the parts of a run before")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--steps", type=int, help="in place of the seconds")
    parser.add_argument("--rate", type=float, default=3e-5)
    parser.add_argument("--remembered", type=float, default=0.0, help="weight of the divergence from the model before")
    parser.add_argument("--taught", type=Path, help="what a teacher scored (contrast_scores.py)")
    parser.add_argument("--before", help="the student that is remembered, where it is not the one to begin with")
    sizes = {"sets": 16, "public": 0, "siblings": WIDTH, "groups": 16, "judged": 8, "reports": 4}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(SEED)
    torch.set_float32_matmul_precision("high")
    reader = _reader(options).to(device)
    before = _before(options, reader).to(device).eval().requires_grad_(False) if options.remembered else None
    arrays = dict(np.load(options.prepared))
    taught = Taught(read_scores(options.taught, arrays), device) if options.taught else None
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        for entry in train(reader, Batches(arrays, device), options, before, taught):
            log.write(json.dumps(entry) + "\n")
            print(entry, flush=True)


if __name__ == "__main__":
    main()

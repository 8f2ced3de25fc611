"""Train a cross-encoder to read: the right passage among siblings, the right query among siblings, and retrieval.

    uv run --group dev python packages/overfetch-mini/training/contrast.py --base FOLDER --prepared prepared.npz
        --out RUN --seconds 600 [--rate 3e-5] [--sets 32] [--groups 24] [--reports 4] [--start PARTS]

`--base` is a folder of BERT's or MPNet's shape; with `--start` its weights come from the parts of a run before. Ends
when its time is over: the rate falls to zero with it. Weights are averaged along the way (AVERAGED of the last average
a step); the averaged ones are judged and kept, as int8 in parts, beside a log of the curves. Runs on a GPU or, in
bfloat16, on a CPU.
"""

import argparse
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
from contrast_reader import Reader, load_parts, save_parts
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

SEED = 7
GROUP_SHARE = 0.5  # of the loss of groups, beside that of sets
HEAD_RATE, WARM_UP_STEPS, JUDGED_AT_ONCE = 5e-4, 50, 32
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


@torch.inference_mode()
def judge(reader: Reader, batches: Batches) -> dict[str, float]:
    """`first` and `both` on the sets that are held out; a tie is lost."""
    reader.eval()
    counts = np.zeros(4)
    for start in range(0, batches.held_out, JUDGED_AT_ONCE):
        chosen = range(start, min(start + JUDGED_AT_ONCE, batches.held_out))
        counts += _counted(batches.set_logits(reader, list(chosen)))
    return {"first": round(float(counts[0] / counts[1]), 4), "both": round(float(counts[2] / counts[3]), 4)}


def _counted(scored: Scored) -> Any:
    """Right firsts of all queries, right pairs of all pairs."""
    logits, real = scored
    own = torch.diagonal(logits, dim1=1, dim2=2)
    wins = own[:, :, None] > logits
    siblings = real[:, :, None] & real[:, None, :]
    other = ~torch.eye(WIDTH, dtype=torch.bool, device=logits.device)
    first = (wins | ~(siblings & other)).all(2) & real
    pairs = siblings & torch.ones(WIDTH, WIDTH, device=logits.device).triu(1).bool()
    both = wins & wins.transpose(1, 2) & pairs
    return np.array([int(found.sum()) for found in (first, real, both, pairs)])


class Endless:
    """Numbers of a range in seeded order, again and again."""

    def __init__(self, numbers: range, draw: random.Random) -> None:
        self.numbers, self.draw, self.waiting = numbers, draw, list[int]()

    def take(self, count: int) -> list[int]:
        while len(self.waiting) < count:
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


def train(reader: Reader, batches: Batches, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One entry of the curve after another; the reader ends with the averaged weights."""
    draw = random.Random(SEED)
    sets, groups = Endless(range(batches.held_out, batches.sets), draw), Endless(range(len(batches.own)), draw)
    averaged = AveragedModel(reader, multi_avg_fn=average)
    optimizer, rates = _optimizer(reader, options.rate)
    clock = Clock(options.seconds, options.steps)
    for report in range(1, options.reports + 1):
        losses = list[torch.Tensor]()
        while clock.share < report / options.reports:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * min(1.0, (clock.step + 1) / WARM_UP_STEPS) * max(0.0, 1 - clock.share)
            losses.append(_step(reader, batches, optimizer, sets.take(options.sets), groups.take(options.groups), draw))
            averaged.update_parameters(reader)
            clock.step += 1
            if clock.step % 10 == 0 and batches.device == "cuda":
                torch.cuda.synchronize()  # else the clock runs ahead of the work
        with clock.stopped():
            yield _entry(clock, losses, batches, options.sets) | judge(cast(Reader, averaged.module), batches)
    reader.load_state_dict(averaged.module.state_dict())


def _step(
    reader: Reader,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    sets: Sequence[int],
    groups: Sequence[int],
    draw: random.Random,
) -> torch.Tensor:
    """Both losses, float32 [2], left on the device."""
    reader.train()
    read = contrast_loss(batches.set_logits(reader, sets))
    found = group_loss(batches.group_logits(reader, groups, draw))
    optimizer.zero_grad()
    (read + GROUP_SHARE * found).backward()
    torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
    optimizer.step()
    return torch.stack([read.detach(), found.detach()])


def _entry(clock: Clock, losses: Sequence[torch.Tensor], batches: Batches, sets: int) -> dict[str, Any]:
    read, found = torch.stack(list(losses)).mean(0).tolist()
    passes = clock.step * sets / (batches.sets - batches.held_out)
    return {
        "seconds": round(clock.worked),
        "step": clock.step,
        "passes": round(passes, 2),
        "contrast": round(read, 4),
        "groups": round(found, 4),
    }


def _optimizer(reader: Reader, rate: float) -> tuple[torch.optim.Optimizer, list[float]]:
    parts = [reader.encoder.parameters(), reader.head.parameters()]
    made = torch.optim.AdamW([{"params": list(part)} for part in parts], lr=rate, weight_decay=0.01)
    return made, [rate, max(HEAD_RATE, rate)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "prepared", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="the parts of a run before")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--steps", type=int, help="in place of the seconds")
    parser.add_argument("--rate", type=float, default=3e-5)
    for name, value in (("sets", 32), ("groups", 24), ("reports", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(SEED)
    reader = Reader(options.base, weights=options.start is None)
    if options.start:
        reader.load_state_dict(load_parts(options.start))
    reader.to(device)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        for entry in train(reader, Batches(dict(np.load(options.prepared)), device), options):
            log.write(json.dumps(entry) + "\n")
            print(entry, flush=True)
            save_parts(reader.state_dict(), options.out)
    save_parts(reader.state_dict(), options.out)


if __name__ == "__main__":
    main()

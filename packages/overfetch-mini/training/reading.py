"""Groups of a query and its candidates, and how the student, the teacher and the first stage read them."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from overfetch.inference.interaction import SCALE
from overfetch.ordering import standardise

SEED = 7
PASSAGES, PAIRS_PER_RUN = 8, 16
MAX_TOKENS = 128
SHARPNESS = SCALE  # logits for a cosine of the teacher
HELD_OUT_GROUPS = 240

Group = dict[str, Any]
Pairs = list[tuple[str, str]]


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


def draw_pairs(groups: list[Group], draw: random.Random) -> tuple[Pairs, list[list[int]]]:
    """(the pairs of all groups, which passages they are of each)."""
    drawn = [draw_passages(group, draw) for group in groups]
    return [(g["query"], g["passages"][i]) for g, own in zip(groups, drawn, strict=True) for i in own], drawn


def in_runs(tokenizer: Any, pairs: Pairs) -> Iterator[tuple[list[int], Any]]:
    """(which pairs, their batch): runs of similar length, so that little is padding."""
    encoded = tokenizer(pairs, truncation="longest_first", max_length=MAX_TOKENS)
    order = sorted(range(len(pairs)), key=lambda i: len(encoded["input_ids"][i]))
    for start in range(0, len(order), PAIRS_PER_RUN):
        chosen = order[start : start + PAIRS_PER_RUN]
        yield chosen, tokenizer.pad({k: [v[i] for i in chosen] for k, v in encoded.items()}, return_tensors="pt")


def read_pairs(model: Any, tokenizer: Any, pairs: Pairs) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(logits [pairs], best cosine of each query token, NaN beside)."""
    order, logits, best = [], [], []
    for chosen, batch in in_runs(tokenizer, pairs):
        with torch.autocast("cpu", torch.bfloat16):
            own_logits, own_best = model.read(**batch)
        order += chosen
        logits.append(own_logits.float().squeeze(1))
        best += own_best[:, 1:]
    back = torch.tensor(order).argsort()
    return torch.cat(logits)[back], [best[i] for i in back]


def read(model: Any, tokenizer: Any, groups: list[Group], draw: random.Random) -> tuple[Reading, Reading, Given]:
    """(the student's reading, the teacher's, what is given)."""
    pairs, drawn = draw_pairs(groups, draw)
    each = list(zip(groups, drawn, strict=True))
    wanted = [torch.tensor(group["teacher"][i]) for group, chosen in each for i in chosen]
    standard = [standardise(group["first_stage"]) for group in groups]
    first_stage = [[own[i] for i in chosen] for own, chosen in zip(standard, drawn, strict=True)]
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

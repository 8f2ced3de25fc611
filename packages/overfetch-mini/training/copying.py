"""Learn to read as a larger model does: the hidden state of every token, and the scores of a group.

After TinyBERT (Jiao et al. 2020, arXiv 1909.10351), last layer only: some ten thousand targets a pair, where the
teacher's scores are one. Both models share tokenizer and width, so states compare as they are, by their cosine, which
is all that the head looks at.
"""

import random
from statistics import mean
from typing import Any, NamedTuple

import torch
from losses import divergence
from reading import PASSAGES, SEED, Group, draw_pairs, in_runs

STATE_WEIGHT = 5.0  # logits' divergence for a cosine of 1


class Copy(NamedTuple):
    logits: torch.Tensor  # float32 [groups, PASSAGES]
    wanted: torch.Tensor  # the same of the larger model
    distance: torch.Tensor  # 1 - cosine of their states, mean over tokens


def states(model: Any, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(hidden states [pairs, tokens, width], logits [pairs])."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.bert(**batch).last_hidden_state.float()
        logits, _ = model.compare(hidden, batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    return hidden, logits.float().squeeze(1)


def copy(model: Any, larger: Any, tokenizer: Any, groups: list[Group], draw: random.Random) -> Copy:
    pairs, _ = draw_pairs(groups, draw)
    order: list[int] = []
    logits, wanted, distances = [], [], []
    for chosen, batch in in_runs(tokenizer, pairs):
        with torch.no_grad():
            aim, own_wanted = states(larger, batch)
        hidden, own_logits = states(model, batch)
        apart = 1 - torch.nn.functional.cosine_similarity(hidden, aim, dim=2)
        distances.append(apart[batch["attention_mask"] > 0])
        order += chosen
        logits.append(own_logits)
        wanted.append(own_wanted)
    back = torch.tensor(order).argsort()
    shape = (len(groups), PASSAGES)
    return Copy(torch.cat(logits)[back].view(shape), torch.cat(wanted)[back].view(shape), torch.cat(distances).mean())


def copied(made: Copy) -> torch.Tensor:
    return divergence(made.logits, made.wanted) + STATE_WEIGHT * made.distance


@torch.no_grad()
def evaluate_copy(model: Any, larger: Any, tokenizer: Any, held_out: list[Group]) -> dict[str, float]:
    draw = random.Random(SEED)
    made = [copy(model, larger, tokenizer, held_out[i : i + 24], draw) for i in range(0, len(held_out), 24)]
    same = torch.cat([own.logits.argmax(1) == own.wanted.argmax(1) for own in made])
    return {
        "divergence": mean(float(divergence(own.logits, own.wanted)) for own in made),
        "distance": mean(float(own.distance) for own in made),
        "larger's first": float(same.float().mean()),
    }

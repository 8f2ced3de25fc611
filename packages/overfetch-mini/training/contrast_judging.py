"""How well a reader reads what is held out: `first` and `both` of written sets, nDCG@10 of judged lists."""

from typing import Any

import numpy as np
import torch
from contrast_batches import WIDTH, Batches, Scored
from contrast_reader import Trainable

from overfetch.evaluation.metrics import means, measure

AT_ONCE = 32


@torch.inference_mode()
def judge(reader: Trainable, batches: Batches) -> dict[str, float]:
    """By logits alone; a tie is lost."""
    reader.eval()
    counts = np.zeros(4)
    for start in range(0, batches.held_out, AT_ONCE):
        chosen = range(start, min(start + AT_ONCE, batches.held_out))
        counts += _counted(batches.set_logits(reader, list(chosen)))
    return {
        "first": round(float(counts[0] / counts[1]), 4),
        "both": round(float(counts[2] / counts[3]), 4),
        "ndcg@10": round(_order(reader, batches), 4),
    }


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


def _order(reader: Trainable, batches: Batches) -> float:
    """Mean nDCG@10 over the judged lists, each ordered by the logits of all its candidates."""
    qrels, run = dict[str, dict[str, int]](), dict[str, list[str]]()
    for number in range(batches.judged_held_out):
        places = range(*batches.judged_starts[number : number + 2].tolist())
        logits = batches.list_logits(reader, number).tolist()
        qrels[str(number)] = {str(place): int(batches.grades[place]) for place in places}
        ranked = sorted(zip(logits, places, strict=True), reverse=True)
        run[str(number)] = [str(place) for _, place in ranked]
    return means(measure(qrels, run))["ndcg@10"] if qrels else 0.0

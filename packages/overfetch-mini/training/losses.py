"""What a student is trained for. The card says what each of them did.

`taught` is the Kullback-Leibler divergence from the softmax of the teacher's scores over a group, its labelled
positive raised by BONUS. `combined` is the same of the order that ships: to both scores the first stage's is added, in
the share that it has there, so that what it knows already need not be learned. `matched` adds to `taught`, with
TOKEN_WEIGHT, the squared difference of each query token's part of the score, less its mean over the group: some twenty
targets a pair in place of one. `listwise` (softmax cross-entropy, ListNet with one relevant passage, Cao et al. 2007)
and `pairwise` (RankNet, Burges et al. 2005) learn the label, where there is one, without negatives that the teacher
prefers to it.
"""

import torch
from reading import PASSAGES, Given, Reading

BONUS = 1.0  # logits for being the labelled positive
TOKEN_WEIGHT = 0.1
SHARE, TEACHER_SHARE = 0.5, 0.6  # in the final order, of student and teacher: what suits them best on dev


def divergence(scores: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Of two softmaxes over groups, float32 [groups, passages] each."""
    return torch.nn.functional.kl_div(
        scores.log_softmax(1), target.log_softmax(1), reduction="batchmean", log_target=True
    )


def raised(scores: torch.Tensor, given: Given) -> torch.Tensor:
    return scores + torch.nn.functional.pad(given.labelled[:, None] * BONUS, (0, PASSAGES - 1))


def taught(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    return divergence(student.scores, raised(teacher.scores, given))


def combined(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    def order(scores: torch.Tensor, share: float) -> torch.Tensor:
        return scores + (1 - share) / share * scores.detach().std(1, keepdim=True) * given.first_stage

    return divergence(order(student.scores, SHARE), raised(order(teacher.scores, TEACHER_SHARE), given))


def matched(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    difference = student.tokens - teacher.tokens
    known = ~difference.isnan().any(dim=1, keepdim=True).expand_as(difference)
    difference = torch.where(known, difference, 0.0)
    apart = (difference - difference.mean(dim=1, keepdim=True))[known]
    return taught(student, teacher, given) + TOKEN_WEIGHT * apart.square().mean() / 2


def listwise(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    believed = student.scores.masked_fill(teacher.scores > teacher.scores[:, :1], -torch.inf)[given.labelled]
    first = torch.zeros(len(believed), dtype=torch.long)
    return torch.nn.functional.cross_entropy(believed, first, reduction="sum") / max(len(believed), 1)


def pairwise(student: Reading, teacher: Reading, given: Given) -> torch.Tensor:
    worse = (given.labelled[:, None] & (teacher.scores <= teacher.scores[:, :1]))[:, 1:]
    apart = student.scores[:, 1:] - student.scores[:, :1]
    return torch.nn.functional.softplus(apart)[worse].sum() / max(int(worse.sum()), 1)


LOSSES = {"taught": taught, "combined": combined, "matched": matched, "listwise": listwise, "pairwise": pairwise}

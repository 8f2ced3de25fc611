"""Fine-tuning of a cross-encoder on groups of candidates. Imports torch: only when tuning."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from overfetch.evaluation.candidates import Candidates
from overfetch.indexing import Progress
from overfetch.inference.tokenizing import TextTokenizer
from overfetch.types import Frozen

SEED = 7
RATE, WARM_UP = 5e-5, 0.1
GROUPS_PER_STEP, POSITIVES, NEGATIVES, PAIRS_PER_RUN = 4, 3, 7, 16


class Group(Frozen):
    """One query, its relevant candidates first."""

    query: str
    passages: tuple[str, ...]
    relevant: int


def as_groups(found: Sequence[Candidates], qrels: dict[str, dict[str, int]]) -> list[Group]:
    """Relevant candidates against the best-placed others; a query that lacks either teaches nothing and is left out."""
    groups = []
    for candidates in found:
        grades = qrels[candidates.query_id]
        pairs = list(zip(candidates.documents, candidates.passages, strict=True))
        relevant = [text for document, text in pairs if grades.get(document, 0) > 0][:POSITIVES]
        others = [text for document, text in pairs if grades.get(document, 0) <= 0][:NEGATIVES]
        if relevant and others:
            groups.append(Group(query=candidates.query, passages=(*relevant, *others), relevant=len(relevant)))
    return groups


class Trainee:
    """A torch cross-encoder with the tokenizer that serves it."""

    def __init__(self, model: Any, tokenizer: TextTokenizer) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device).eval()
        self.tokenizer = tokenizer

    def logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """float32 [pairs]; runs of similar length, so that little is padding."""
        tokens = [self.tokenizer.pair(query, passage) for query, passage in pairs]
        order = sorted(range(len(pairs)), key=lambda i: len(tokens[i].ids))
        runs = [order[start : start + PAIRS_PER_RUN] for start in range(0, len(order), PAIRS_PER_RUN)]
        parts = [self._run([tokens[i] for i in run]) for run in runs]
        return torch.cat(parts)[torch.tensor(order).argsort().to(self.device)]

    def _run(self, batch: Sequence[Any]) -> torch.Tensor:
        padding = self.model.config.pad_token_id or 0
        inputs = {
            "input_ids": self._padded([t.ids for t in batch], padding),
            "attention_mask": self._padded([[1] * len(t.ids) for t in batch], 0),
        }
        if getattr(self.model.config, "type_vocab_size", 1) > 1:
            inputs["token_type_ids"] = self._padded([t.type_ids for t in batch], 0)
        logits: torch.Tensor = self.model(**inputs).logits.float().squeeze(1)
        return logits

    def _padded(self, rows: Sequence[Sequence[int]], padding: int) -> torch.Tensor:
        longest = max(map(len, rows))
        return torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows], device=self.device)

    @torch.inference_mode()
    def score(self, candidates: Candidates) -> list[float]:
        if not candidates.passages:
            return []
        logits: list[float] = self.logits([(candidates.query, text) for text in candidates.passages]).tolist()
        return logits


def fine_tune(base: Trainee, groups: Sequence[Group], epochs: int, progress: Progress) -> Trainee:
    """A further trained copy. Listwise softmax cross-entropy (ListNet, Cao et al. 2007); the rate warms up and falls.

    Word embeddings stay as they are: a few hundred queries hold few of the words.
    """
    torch.manual_seed(SEED)
    tuned = Trainee(copy.deepcopy(base.model), base.tokenizer)
    tuned.model.get_input_embeddings().weight.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in tuned.model.parameters() if p.requires_grad], lr=RATE)
    steps = list(_batches(groups, epochs))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / (WARM_UP * len(steps) + 1), 1 - s / len(steps))
    )
    tuned.model.train()
    for done, batch in enumerate(steps, start=1):
        loss(tuned, batch).backward()
        torch.nn.utils.clip_grad_norm_(tuned.model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(done, len(steps))
    tuned.model.eval()
    return tuned


def _batches(groups: Sequence[Group], epochs: int) -> Iterator[Sequence[Group]]:
    draw = random.Random(SEED)
    for _ in range(epochs):
        shuffled = draw.sample(groups, len(groups))
        yield from (shuffled[start : start + GROUPS_PER_STEP] for start in range(0, len(groups), GROUPS_PER_STEP))


def loss(model: Trainee, groups: Sequence[Group]) -> torch.Tensor:
    """Mean over groups of the cross-entropy against an even share for each relevant passage."""
    logits = model.logits([(group.query, text) for group in groups for text in group.passages])
    parts = logits.split([len(group.passages) for group in groups])
    return torch.stack(
        [-part.log_softmax(0)[: group.relevant].mean() for part, group in zip(parts, groups, strict=True)]
    ).mean()

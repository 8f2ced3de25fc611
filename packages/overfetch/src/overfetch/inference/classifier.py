"""Cross-encoders through transformers alone: `AutoModelForSequenceClassification`, without sentence-transformers."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification

from overfetch.inference.chain import require_whole
from overfetch.inference.devices import best_place, keep_head_exact
from overfetch.inference.runs import Piece, RunningReranker
from overfetch.models import ModelSpec


class TransformersReranker(RunningReranker):
    """A pinned cross-encoder on torch."""

    def __init__(self, folder: Path, spec: ModelSpec, *, windows: bool = True) -> None:
        require_whole(folder, spec, "transformers")
        place = best_place()
        super().__init__(folder, spec.model_copy(update={"precision": place.precision}), place.run, windows)
        self._model = AutoModelForSequenceClassification.from_pretrained(
            folder, num_labels=1, dtype=place.dtype, local_files_only=True
        )
        keep_head_exact(self._model.to(place.device).eval())

    @torch.inference_mode()
    def read(self, pieces: Sequence[Piece]) -> list[float]:
        length = max(len(piece.tokens.ids) for piece in pieces)
        padding = self._model.config.pad_token_id or 0
        inputs = {
            "input_ids": [_padded(piece.tokens.ids, length, padding) for piece in pieces],
            "token_type_ids": [_padded(piece.tokens.type_ids, length, 0) for piece in pieces],
            "attention_mask": [_padded([1] * len(piece.tokens.ids), length, 0) for piece in pieces],
        }
        batch = {name: torch.tensor(rows, device=self._model.device) for name, rows in inputs.items()}
        logits: list[float] = self._model(**batch).logits[:, 0].float().tolist()
        return logits


def _padded(values: list[int], length: int, padding: int) -> list[int]:
    return values + [padding] * (length - len(values))

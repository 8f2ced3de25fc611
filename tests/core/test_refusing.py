"""When scores say that nothing answers: fitted on judged questions, used only where they were judged so."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_site import opened_site, small_site

from overfetch import Engine, RetrievalSettings
from overfetch.errors import CorpusError, SettingsError
from overfetch.evaluation.logistic import cross_validated, fit
from overfetch.evaluation.refusals import Asked, Refusals, Share, _fitted, fit_refusals, held_out, point
from overfetch.judged import read_unanswerable
from overfetch.refusing import Evidence, RefusalRules
from overfetch.testing import FakeReranker

SUBJECTS = (
    *("tower", "moon", "star", "sun", "hermit", "fool", "judge", "world", "chariot", "empress", "wheel", "king"),
    *("queen", "page", "knight", "magician", "justice", "strength", "devil", "lovers", "sword", "cup", "coin", "wand"),
)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    pages = [{"_id": name, "text": f"The {name} means what it means to all."} for name in SUBJECTS]
    engine = opened_site(small_site(tmp_path, pages, retrieval=RetrievalSettings(top_k=8, top_n=5)))
    engine.index("pages")
    return engine


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Two dozen questions that a page answers, two dozen that none does; one of another split."""
    folder = tmp_path / "judged"
    (folder / "qrels").mkdir(parents=True)
    answerable = [{"_id": f"a{n}", "text": f"the {name} means", "split": "dev"} for n, name in enumerate(SUBJECTS)]
    none = [{"_id": f"u{n}", "text": f"price of {n} apples", "split": "dev", "answerable": False} for n in range(24)]
    other = [{"_id": "t", "text": "unseen", "split": "test", "answerable": False}]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, [*answerable, *none, *other])), encoding="utf-8")
    rows = [f"a{n}\t{name}\t2" for n, name in enumerate(SUBJECTS)]
    (folder / "qrels" / "dev.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]), encoding="utf-8")
    return folder


@pytest.fixture
def fitted(engine: Engine, judged: Path) -> Refusals:
    return fit_refusals(engine, "pages", judged, "dev")


def refusing(engine: Engine, fitted: Refusals) -> Engine:
    engine.refusals = {"pages": RefusalRules(rules=(fitted.rule,))}
    return engine


def test_what_nothing_answers_is_refused_and_what_something_answers_is_quoted(engine: Engine, fitted: Refusals) -> None:
    refused = refusing(engine, fitted).ask("price of 99 pears")
    assert not refused.found
    assert refused.citations == ()
    assert refused.answer == "Not in the sources, as far as the scores of the best passages show."
    assert "48 judged questions" in str(refused.reason)
    assert refused.retrievals[0].hits  # what was found is shown
    assert engine.ask("the hermit means").found


def test_a_rule_is_of_its_models_settings_and_reading(engine: Engine, fitted: Refusals) -> None:
    question = "price of 99 pears"
    assert not refusing(engine, fitted).ask(question, deadline_ms=60_000).found
    assert engine.ask(question, top_n=3).found
    assert engine.ask(question, rerank=False).found
    assert engine.ask(question, literal=True).found
    assert engine.ask("what now", parts=[question]).found
    engine.reranker = FakeReranker().within(900)
    assert engine.ask(question).found, "it was fitted on what another budget reads"
    engine.reranker = FakeReranker()
    assert not engine.ask(question).found
    another = {**fitted.rule.made_by, "reranker": "another"}
    larger = fitted.rule.fitted_on.model_copy(update={"passages": 100})
    for changes in ({"collection": "site/other"}, {"made_by": another}, {"fitted_on": larger}):
        engine.refusals = {"pages": RefusalRules(rules=(fitted.rule.model_copy(update=changes),))}
        assert engine.ask(question).found


@pytest.mark.parametrize("reranker", [FakeReranker(failure=RuntimeError("lost")), FakeReranker(seconds=0.05)])
def test_nothing_is_refused_on_scores_that_are_not_full(
    engine: Engine, fitted: Refusals, reranker: FakeReranker
) -> None:
    refusing(engine, fitted).reranker = reranker
    answer = engine.ask("price of 99 pears", deadline_ms=60)
    assert answer.retrievals[0].rerank_status != "full"
    assert answer.found


def test_the_rule_says_what_it_was_fitted_on(engine: Engine, fitted: Refusals, judged: Path) -> None:
    on = fitted.rule.fitted_on
    assert (on.answerable, on.unanswerable, on.corpus) == (24, 24, engine.store.provenance("site/pages").corpus_hash)
    assert (fitted.first_stage.refused.count, fitted.unread) == (0, 0)
    wrongly = [point.wrongly.count for point in fitted.curve]
    assert wrongly == sorted(wrongly)
    assert len(wrongly) == 4, "1% and 2% of 24 are nobody"
    assert on.wrongly <= 0.05
    assert on.refused > 0.9
    assert (fitted.held_out.refused.of, fitted.held_out.wrongly.of) == (24, 24)
    assert fitted.held_out.refused.share > 0.9
    assert fitted.pays
    again = fit_refusals(engine, "pages", judged, "dev").rule
    assert again.model_copy(update={"fitted_on": on}) == fitted.rule


def test_rules_are_kept_one_for_each_pair_of_models(fitted: Refusals, tmp_path: Path) -> None:
    path = tmp_path / "site" / "refusals.json"
    other = fitted.rule.model_copy(update={"made_by": {**fitted.rule.made_by, "reranker": "another"}})
    RefusalRules().with_rule(fitted.rule).with_rule(other).with_rule(fitted.rule).write(path)
    assert RefusalRules.read(path).rules == (other, fitted.rule)
    path.write_text('{"rules": [{}]}', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"refusals.json cannot be read.*fit them anew"):
        RefusalRules.read(path)


def test_a_few_questions_fit_nothing(engine: Engine, judged: Path) -> None:
    lines = (judged / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    (judged / "queries.jsonl").write_text("\n".join(lines[:43]), encoding="utf-8")
    with pytest.raises(SettingsError, match="24 answerable and 19 unanswerable questions are judged: it takes 20 of"):
        fit_refusals(engine, "pages", judged, "dev")


def test_those_that_were_not_read_are_not_left_to_the_rule(engine: Engine, judged: Path) -> None:
    engine.reranker = FakeReranker(failure=RuntimeError("lost"))
    with pytest.raises(
        SettingsError, match="0 answerable and 0 unanswerable questions are left to the rule: it takes 5"
    ):
        fit_refusals(engine, "pages", judged, "dev")


def test_a_question_has_an_answer_or_none(engine: Engine, judged: Path) -> None:
    with (judged / "qrels" / "dev.tsv").open("a") as file:
        file.write("\nu3\ttower\t1\n")
    with pytest.raises(SettingsError, match=r"1 queries are judged and .* such as 'price of 3 apples': which is it?"):
        fit_refusals(engine, "pages", judged, "dev")


def test_unanswerable_questions_are_those_of_the_split(judged: Path) -> None:
    assert len(read_unanswerable(judged, "dev")) == 24
    assert [query.text for query in read_unanswerable(judged, "test")] == ["unseen"]
    (judged / "queries.jsonl").write_text('{"_id": 3, "answerable": false, "split": "dev"}', encoding="utf-8")
    with pytest.raises(CorpusError, match=r"queries.jsonl:1: "):
        read_unanswerable(judged, "dev")


def test_a_logistic_regression_finds_what_made_its_labels() -> None:
    draw = np.random.default_rng(3)
    features = draw.normal(size=(2_000, 3)) * [1, 10, 0.1] + [5, 0, -3]
    logits = 2.0 * (features[:, 0] - 5) - 0.1 * features[:, 1]
    labels = (draw.random(2_000) < 1 / (1 + np.exp(-logits))).astype(float)
    model = fit(features, labels)
    assert model.weights[:2] == pytest.approx([2.0, -0.1], abs=0.25)
    assert abs(model.weights[2]) < 1.5
    assert model.probabilities(np.array([[5.0, 0.0, -3.0]]))[0] == pytest.approx(0.5, abs=0.06)


def test_labels_that_nothing_tells_are_not_told_by_cross_validation() -> None:
    draw = np.random.default_rng(4)
    features, labels = draw.normal(size=(60, 5)), np.repeat([0.0, 1.0], 30)
    seen = fit(features, labels).probabilities(features)
    unseen = cross_validated(features, labels)
    assert seen[labels == 1].mean() > seen[labels == 0].mean()
    assert unseen[labels == 1].mean() - unseen[labels == 0].mean() < 0.1


def test_a_threshold_refuses_no_more_than_is_allowed() -> None:
    evidence = Evidence(best=0, margin=0, covered=0, led=0)
    asked = [Asked(answerable=n < 20, missing=n in (0, 20, 21), evidence=evidence) for n in range(30)]
    probabilities = np.array([0.0, *np.linspace(0.1, 1, 19), *[0.05] * 10])
    least = point(asked, probabilities, 0.0)
    assert (least.wrongly.count, least.refused.count, least.threshold) == (1, 2, 0.0)
    most = point(asked, probabilities, 0.05)
    assert (most.wrongly.share, most.refused.share) == (0.05, 1.0)
    assert 0.05 < most.threshold < 0.1
    assert point(asked, probabilities, 1.0) == most  # no answer is given up for nothing


def told(seed: int, lead: float) -> list[Asked]:
    """30 answerable questions and 20 others, the scores of the former better by so much."""
    drawn = np.random.default_rng(seed).normal(size=(50, 4))
    return [
        Asked(n < 30, False, Evidence(best=best + lead * (n < 30), margin=margin, covered=covered, led=led))
        for n, (best, margin, covered, led) in enumerate(drawn)
    ]


def test_questions_that_neither_weights_nor_threshold_saw_are_refused_by_what_tells_them_apart() -> None:
    alike = held_out(told(1, 9.0), 0.05)
    assert (alike.wrongly.count, alike.refused.count) == (0, 20)
    flattered, unseen = 0.0, 0.0
    for seed in range(5):
        asked = told(seed, 0.0)
        chosen, held = point(asked, _fitted(asked)[1], 0.05), held_out(asked, 0.05)
        flattered += chosen.refused.share - chosen.wrongly.share
        unseen += held.refused.share - held.wrongly.share
    assert unseen < flattered


def test_shares_by_wilson() -> None:
    """As the standard tables have it: 1 of 20, and none of 20."""
    some, none = (Share.of_all(np.arange(20) < count) for count in (1, 0))
    assert (some.low, some.high) == pytest.approx((0.0089, 0.2361), abs=1e-4)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_what_was_not_read_in_full_gives_no_evidence(engine: Engine) -> None:
    assert Evidence.of(engine.search("pages", "the moon", rerank=False)) is None
    told = Evidence.of(engine.search("pages", "what the moon means"))
    assert told is not None
    assert told.covered == 1.0
    assert told.led == 0.0
    assert told.best > 0 < told.margin

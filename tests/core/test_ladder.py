"""When time is short the faster model reads, and the result says so."""

import time
from collections.abc import Sequence

import pytest

from overfetch import Environment, Retrieval, SettingsError, Workspace
from overfetch.ladder import SAMPLE, Ladder, Pace
from overfetch.protocols import RerankScores
from overfetch.sites import load_site
from overfetch.testing import FakeReranker, fake_spec, open_fake

TEN = ["ten words!"] * 10
NOW = 1_000.0


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time passes only where somebody sleeps."""
    now = [NOW]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))


class Model(FakeReranker):
    """Takes so many seconds for a passage; orders as the fake does, or the other way round."""

    def __init__(self, name: str, seconds: float, *, order_weight: float = 1.0, sign: int = 1) -> None:
        super().__init__(seconds=seconds)
        self.spec = fake_spec("reranker", name).model_copy(update={"order_weight": order_weight})
        self.sign = sign
        self.remembers = 0

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        scores = super().score(query, passages, deadline)
        return RerankScores([self.sign * logit for logit in scores.logits], 0, remembered=self.remembers)


def usual() -> Model:
    return Model("usual", 1.0)


def faster() -> Model:
    return Model("fast", 0.1, order_weight=0.0)


def known() -> Pace:
    """One second for a passage of ten characters; a tenth of that."""
    return Pace(usual=0.1, share=0.1)


@pytest.mark.parametrize(
    ("seconds", "read_by", "number"),
    [(None, None, 10), (60, None, 10), (9.5, "fast", 10), (1, "fast", 10), (0.5, "fast", 5), (0, None, 0)],
)
def test_the_faster_one_reads_where_it_reads_more(seconds: float | None, read_by: str | None, number: int) -> None:
    deadline = None if seconds is None else NOW + seconds
    scores = Ladder(usual(), faster(), known()).score("ten", TEN, deadline)
    assert (scores.spec.name if scores.spec else None, len(scores.logits)) == (read_by, number)


def test_before_it_is_known_what_both_take_the_usual_one_reads() -> None:
    scores = Ladder(usual(), faster()).score("ten", TEN, NOW + 5)
    assert (scores.spec, len(scores.logits)) == (None, 5)


def test_warming_up_measures_both() -> None:
    ladder = Ladder(usual(), faster())
    ladder.warm_up()
    assert ladder.pace.usual == pytest.approx(len(SAMPLE) / sum(map(len, SAMPLE)))
    assert ladder.pace.share == pytest.approx(0.1)
    assert ladder.spec.name == "usual"


def test_warming_up_again_measures_nothing() -> None:
    """A check of a busy service would measure its queue, and find both alike."""
    ladder = Ladder(usual(), faster())
    ladder.warm_up()
    ladder.faster = Model("fast", 1.0)
    ladder.warm_up()
    assert ladder.pace.share == pytest.approx(0.1)


def test_what_either_takes_tells_of_both() -> None:
    """Under load everything takes longer, whoever is asked."""
    slow = Ladder(Model("usual", 3.0), Model("fast", 0.3), known())
    slow.score("ten", TEN, NOW + 5)
    assert slow.pace.usual == pytest.approx(0.1 + 0.2 * (0.3 - 0.1)), "the faster one read"
    slow.score("ten", TEN)
    assert slow.pace.usual == pytest.approx(0.14 + 0.2 * (0.3 - 0.14)), "the usual one read"
    assert slow.pace.share == 0.1


def test_what_is_remembered_says_nothing_of_the_time() -> None:
    remembering = usual()
    remembering.remembers = 10
    ladder = Ladder(remembering, faster(), known())
    ladder.score("ten", TEN)
    assert ladder.pace.usual == 0.1


def search(ladder: Ladder, **settings: object) -> Retrieval:
    engine = open_fake(load_site("builddaily"))
    engine.reranker = ladder
    return engine.search("resources", "which tool pins a reranker", **settings)  # type: ignore[arg-type]


def test_the_result_says_which_model_read_and_has_its_order() -> None:
    """A weight of 0 keeps the first stage's order, whatever the logits say."""
    pace = Pace(usual=1.0, share=0.0001)
    fast = Model("fast", 0.0, order_weight=0.0, sign=-1)
    short = search(Ladder(Model("usual", 100.0), fast, pace), deadline_ms=5_000)
    assert short.rerank_status == "full"
    assert short.rerank_reason == "the deadline of 5000.0 ms allowed 20 of 20 passages, read by the faster fast"
    assert short.provenance["reranker"].startswith("fast@")
    assert [hit.first_stage_rank for hit in short.hits] == [1, 2, 3, 4, 5]
    enough = search(Ladder(usual(), faster(), Pace(usual=1e-9, share=0.1)), deadline_ms=60_000)
    assert (enough.rerank_status, enough.rerank_reason) == ("full", None)
    assert enough.provenance["reranker"].startswith("usual@")


def test_a_profile_is_named_for_it() -> None:
    with Workspace(Environment(qdrant=":memory:", faster="mini-fast")) as workspace:
        mini, fast = workspace.site("builddaily"), workspace.site("builddaily", profile="mini-fast")
        assert isinstance(mini.reranker, Ladder)
        assert mini.reranker is workspace.site("sagedaily").reranker
        assert (mini.reranker.spec.name, mini.reranker.faster.spec.name) == ("overfetch-mini", "overfetch-mini-fast")
        assert fast.reranker is mini.reranker.faster, "it has no faster one"
    unknown = Environment(qdrant=":memory:", faster="quick")
    with Workspace(unknown) as workspace, pytest.raises(SettingsError, match="quick"):
        workspace.site("builddaily")

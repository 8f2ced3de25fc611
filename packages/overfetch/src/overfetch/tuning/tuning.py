"""The whole of `overfetch tune`: find candidates, fit, train, compare on the test part, install if better."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, Unpack

from overfetch.engine import Engine
from overfetch.errors import SettingsError
from overfetch.evaluation.candidates import Candidates, find_candidates, rank
from overfetch.evaluation.evaluating import recommend
from overfetch.evaluation.metrics import DECISIVE, LEAST, Difference, Values, means, measure, paired_difference
from overfetch.indexing import Progress
from overfetch.inference.checksums import sha256
from overfetch.inference.onnx import OnnxReranker
from overfetch.inference.quantising import export_exact, export_int8
from overfetch.inference.restoring import restore
from overfetch.inference.tokenizing import TextTokenizer
from overfetch.judged import JudgedQueries, require_apart
from overfetch.models import ModelSpec
from overfetch.protocols import Reranker
from overfetch.settings import SettingsOptions
from overfetch.tuned import TunedModel
from overfetch.tuning import EPOCHS
from overfetch.tuning.installing import being_made, install
from overfetch.tuning.training import SEED, Group, Trainee, as_groups, fine_tune
from overfetch.types import Frozen

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
LEAST_GROUPS = 8
SAMPLED = 100  # groups that int8 products are rounded by

Watch = Callable[[str], AbstractContextManager[Progress]]


class Tuning(Frozen):
    """How the tuned model did on the test part, and whether it now serves. Metrics are fractions of 1.

    `current` is what served; `over` are the gains of nDCG@10 over all that it has to beat.
    """

    collection: str
    train_queries: int
    trained_on: int
    test_queries: int
    order_weight: float
    first_stage: dict[str, float]
    current: dict[str, float]
    tuned: dict[str, float] | None = None
    over: dict[str, Difference] | None = None
    installed: bool
    reason: str


def tune(
    engine: Engine,
    collection: str,
    train: JudgedQueries,
    test: JudgedQueries,
    *,
    base: Path,
    target: Path,
    epochs: int = EPOCHS,
    watch: Watch = lambda description: nullcontext(lambda done, total: None),
    **settings: Unpack[SettingsOptions],
) -> Tuning:
    """Fine-tunes the profile's reranker (prepared in `base`) on `train`; installs it in `target` if `test` says better.

    Its share in the final order is fitted on `train` by cross-fitting: each half is scored by a model trained on the
    other. Better means: nDCG@10 beyond chance (`recommend`) above the first stage's, the profile's reranker's and that
    of an earlier run, where one serves. Raises SettingsError where queries are too few or shared by both parts.
    """
    require_apart(train, test)
    if len(test.queries) < LEAST:
        raise SettingsError(
            f"{len(test.queries)} test queries decide nothing; at least {LEAST} are needed: judge more queries"
        )
    serving = engine.reranker_of(collection)
    spec = engine.reranker.spec.within(serving.spec.read_tokens or 0)
    with watch("searching") as progress:
        found = find_candidates(engine, collection, train, progress=progress, **settings)
    with watch("searching") as progress:
        unseen = find_candidates(engine, collection, test, progress=progress, **settings)
    groups = as_groups(found, train.qrels)
    if len(groups) < LEAST_GROUPS:
        raise SettingsError(
            f"{len(groups)} of {len(found)} training queries have a relevant candidate to learn from; "
            f"at least {LEAST_GROUPS} are needed: judge more queries"
        )
    start = Trainee(restore(base, spec), TextTokenizer(base / "tokenizer.json", spec.max_tokens))
    weight = fit_weight(start, found, train, epochs, watch)
    summary: dict[str, Any] = {
        "collection": engine.name_of(collection),
        "train_queries": len(found),
        "trained_on": len(groups),
        "test_queries": len(unseen),
        "order_weight": weight,
    }
    plain = _measured(unseen, test, weight=0.0)
    present = _measured(unseen, test, serving, serving.spec.order_weight)
    rivals = {"the first stage": plain, "the present reranker": present}
    if serving.spec.identity != spec.identity:
        rivals["the profile's reranker"] = _measured(unseen, test, OnnxReranker(base, spec), spec.order_weight)
    summary |= {"first_stage": means(plain), "current": means(present)}
    if weight == 0:
        reason = "on the training part reranking does not pay, tuned or not: RetrievalSettings(rerank=False)"
        return Tuning(**summary, installed=False, reason=reason)
    with watch("training") as progress:
        model = fine_tune(start, groups, epochs, progress)
    with being_made(target) as made:
        tuned, served = _write(model, groups, spec, base, made, weight, engine.name_of(collection))
        values = _measured(unseen, test, served, weight)
        over = {name: paired_difference(rival[DECISIVE], values[DECISIVE]) for name, rival in rivals.items()}
        better = is_better(over)
        result = Tuning(
            **summary,
            tuned=means(values),
            over=over,
            installed=better,
            reason="better on the test part" if better else _why_not(over),
        )
        if better:
            training = {"seed": SEED, "epochs": epochs, "data": _fingerprint(groups), "settings": settings}
            install(
                made,
                TunedModel(
                    spec=tuned,
                    base=spec.identity,
                    embedder=engine.embedder.spec.identity,
                    training={**training, **result.model_dump(mode="json")},
                    library_version=version("overfetch"),
                ),
                target,
            )
    return result


def fit_weight(start: Trainee, found: Sequence[Candidates], train: JudgedQueries, epochs: int, watch: Watch) -> float:
    """The share that orders the training part best, each half scored by a model trained on the other half."""
    halves = [found[side::2] for side in (0, 1)]
    logits: dict[str, list[float]] = {}
    for mine, others in (halves, halves[::-1]):
        with watch("fitting the share") as progress:
            model = fine_tune(start, as_groups(others, train.qrels), epochs, progress)
        logits |= {c.query_id: model.score(c) for c in mine}
    quality = {w: means(_ranked(found, train, logits, w))[DECISIVE] for w in WEIGHTS}
    return max(quality, key=lambda w: (quality[w], -w))


def _measured(
    found: Sequence[Candidates], judged: JudgedQueries, reranker: Reranker | None = None, weight: float = 0.0
) -> Values:
    """Quality of the order by both stages; without a reranker, of the first stage alone."""
    logits = {
        c.query_id: reranker.score(c.query, c.passages).logits if reranker else [0.0] * len(c.passages) for c in found
    }
    return _ranked(found, judged, logits, weight)


def _ranked(
    found: Sequence[Candidates], judged: JudgedQueries, logits: dict[str, list[float]], weight: float
) -> Values:
    return measure(judged.qrels, {c.query_id: rank(c, logits[c.query_id], weight) for c in found})


def _write(
    model: Trainee,
    groups: Sequence[Group],
    spec: ModelSpec,
    base: Path,
    folder: Path,
    weight: float,
    collection: str,
) -> tuple[ModelSpec, Reranker]:
    """The files to install, in the precision of the base, and the model as it will serve."""
    files = (model.model.cpu(), base / "tokenizer.json", spec, folder)
    if spec.precision == "int8":
        export_int8(*files, [[model.tokenizer.pair(g.query, p) for p in g.passages[:4]] for g in groups[:SAMPLED]])
    else:
        export_exact(*files)
    tuned = spec.model_copy(
        update={
            "name": f"{spec.name}-tuned",
            "repo": f"{spec.repo}/{collection}",
            "revision": sha256(folder / "model.onnx")[:12],
            "order_weight": weight,
            "package": None,
            "files": {},
        }
    )
    return tuned, OnnxReranker(folder, tuned)


def is_better(over: dict[str, Difference]) -> bool:
    """Whether each gain would recommend it."""
    return all(recommend(gain) == "on" for gain in over.values())


def _why_not(over: dict[str, Difference]) -> str:
    shown = "; ".join(f"over {name} {gain.told}, {gain.differing} queries differ" for name, gain in over.items())
    return (
        f"not better on the test part beyond chance ({DECISIVE} {shown}); more judged queries narrow the interval, "
        f"and {LEAST} that differ decide"
    )


def _fingerprint(groups: Sequence[Group]) -> str:
    return hashlib.sha256("".join(group.model_dump_json() for group in groups).encode()).hexdigest()

"""Whether what is judged is indexed: judgements of other documents measure nothing."""

from collections.abc import Collection

from overfetch.contents import unknown_documents
from overfetch.engine import Engine
from overfetch.errors import SettingsError
from overfetch.judged import JudgedQueries
from overfetch.types import Report

NAMED = 5


def require_known(engine: Engine, collection: str, judged: JudgedQueries, report: Report, *, own: bool) -> None:
    """Raises SettingsError where a query has relevant documents and none of them is indexed; reports any other that is
    not, and judgements that nothing comes of. `own`: the site brought these judgements along, for its sample.
    """
    relevant = {query: {d for d, grade in grades.items() if grade > 0} for query, grades in judged.qrels.items()}
    if judged.unasked:
        report(f"judged and left out, since queries.jsonl lacks them: {_some(judged.unasked)}")
    if missed := [query for query, documents in relevant.items() if not documents]:
        report(f"queries without a judgement above 0 count as missed: {_some(missed)}")
    every = sorted(set[str]().union(*relevant.values()))
    unknown = set(unknown_documents(engine.store, engine.name_of(collection), every))
    if not unknown:
        return
    told = f"{len(unknown)} of {len(every)} judged documents are not in {engine.name_of(collection)}: {_some(unknown)}"
    lost = {query for query, documents in relevant.items() if documents and documents <= unknown}
    if not lost:
        report(told)
        return
    repair = (
        "these are judgements of the site's sample; give your own with --queries FOLDER"
        if own
        else "correct the ids in the qrels, or index what they name"
    )
    raise SettingsError(
        f"{told}. Nothing that they should find is there for {len(lost)} queries, {_some(lost)}: {repair}"
    )


def _some(names: Collection[str]) -> str:
    shown = ", ".join(map(repr, sorted(names)[:NAMED]))
    return f"{shown} and {len(names) - NAMED} more" if len(names) > NAMED else shown

"""What an evaluation ranked, kept in a folder: as TREC's tools read it, and query by query."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from overfetch.errors import SettingsError
from overfetch.inference.checksums import sha256
from overfetch.judged import JudgedQueries, Qrels

if TYPE_CHECKING:  # it measures, which needs an extra
    from overfetch.evaluation.evaluating import Evaluation

Command = Mapping[str, str | int | float | bool]

EVALUATION = "evaluation.json"
FILES = ("first_stage.trec", "reranked.trec", "qrels.trec", "queries.jsonl", EVALUATION)


def require_own(folder: Path, command: Command) -> None:
    """Makes the folder. Raises SettingsError where files of another command are in it, OSError where it cannot be."""
    folder.mkdir(parents=True, exist_ok=True)
    there = [name for name in FILES if (folder / name).exists()]
    if there and _command_of(folder / EVALUATION) != command:
        raise SettingsError(
            f"{folder} has {', '.join(there)}, which this command did not write: give --save a folder without them"
        )


def _command_of(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def save(folder: Path, command: Command, judged: JudgedQueries, evaluation: "Evaluation") -> None:
    """Writes what each stage ranked, the judgements, every query's metrics, and the evaluation with its command."""
    for stage, ranked in evaluation.stages.ranked.items():
        _write(folder / f"{stage}.trec", _run(ranked, f"{stage}-{evaluation.profile}"))
    _write(folder / "qrels.trec", _qrels(judged.qrels))
    _write(folder / "queries.jsonl", (_json(row) + "\n" for row in _queries(judged, evaluation)))
    _write(folder / EVALUATION, [_json({"command": command, **evaluation.model_dump()}, indent=2), "\n"])


def sums_of(folder: Path, split: str) -> dict[str, str]:
    """The sha256 of the files that judge."""
    names = ("queries.jsonl", f"qrels/{split}.tsv")
    return {name: sha256(folder / name) for name in names}


def _run(ranked: Mapping[str, Sequence[str]], tag: str) -> Iterator[str]:
    """Scores count down: tools that sort by score alone find the same order."""
    for query, documents in ranked.items():
        for rank, document in enumerate(documents, start=1):
            yield f"{_word(query)} Q0 {_word(document)} {rank} {len(documents) + 1 - rank} {tag}\n"


def _qrels(qrels: Qrels) -> Iterator[str]:
    for query, grades in qrels.items():
        for document, grade in grades.items():
            yield f"{_word(query)} 0 {_word(document)} {grade}\n"


def _queries(judged: JudgedQueries, evaluation: "Evaluation") -> Iterator[dict[str, Any]]:
    stages = evaluation.stages
    values = {"first_stage": stages.first_stage, "reranked": stages.reranked}
    for place, query in enumerate(judged.queries):
        yield query.model_dump() | {
            stage: {
                "metrics": {name: of_queries[place] for name, of_queries in metrics.items()},
                "documents": stages.ranked[stage][query.id],
            }
            for stage, metrics in values.items()
            if metrics
        }


def _word(name: str) -> str:
    """An id as one word, its spaces as in an address: spaces part the columns."""
    return re.sub(r"\s", lambda space: quote(space[0]), name)


def _json(document: Any, indent: int | None = None) -> str:
    return json.dumps(document, ensure_ascii=False, indent=indent)


def _write(path: Path, lines: Sequence[str] | Iterator[str]) -> None:
    path.write_text("".join(lines), encoding="utf-8", newline="\n")

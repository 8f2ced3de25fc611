"""Saved programs: JSON only, written at once, and loaded into nothing but what they were compiled for.

DSPy saves a module's state by position: into a changed signature it loads without an error, and prefixes shift. Here
a program carries the fingerprint of every signature that it was compiled for and the provenance of what it was
compiled on; loading compares both and names every difference. Works with any `dspy.Module`.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import dspy
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
)

from overfetch import AnswerError, AsOf, ProgramMismatch, Retrieval

# What the tests run on; state of other versions may mean something else.
TESTED_DSPY = SpecifierSet(">=3.4.1,<3.5")
# Not what decides how a program behaves: a collection is indexed again and again, and who ordered its passages is a
# matter of each request (a faster model under a short deadline, another one where a language model gave no order).
INCIDENTAL = {"indexed", "passages", "library_version", "reranker", "read_tokens"}
DSPYS_OWN = b'"dependency_versions"'  # what `dspy.Module.save` writes beside the state
NOT_KEPT: dict[str, Any] = {"traces": [], "train": [], "lm": None}

Program = TypeVar("Program", bound=dspy.Module)


class Strict(BaseModel):
    """Refuses unknown fields and changes."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldPrint(Strict):
    """A field of a signature: `type` as JSON schema, so that a change inside a pydantic model counts too."""

    name: str
    kind: Literal["input", "output"]
    type: dict[str, Any]
    prefix: str
    description: str


class SignaturePrint(Strict):
    """A signature as the code has it, before any optimiser."""

    instructions: str
    fields: tuple[FieldPrint, ...]


class SavedProgram(Strict):
    """The file. `state` is DSPy's own, by predictor; `known_until` is when the last of what it was compiled on became
    known, None where that is not known of all of it.
    """

    format: Literal[1] = 1
    dspy: str
    overfetch_answers: str
    provenance: dict[str, str]
    signatures: dict[str, SignaturePrint]
    known_until: Annotated[AwareDatetime, PlainSerializer(datetime.isoformat)] | None = None
    state: dict[str, Any]
    report: dict[str, Any] = {}


def provenance_of(retrieval: Retrieval, lm: str) -> dict[str, str]:
    """What a program is tuned on: the collection, the embedder and chunker that fill it, and the language model."""
    made = {name: value for name, value in retrieval.provenance.items() if name not in INCIDENTAL}
    return {"collection": retrieval.collection, **made, "lm": lm}


def fingerprint(module: dspy.Module) -> dict[str, SignaturePrint]:
    """Every predictor's signature: names, order, types, instructions."""
    return {name: _print_of(predictor.signature) for name, predictor in module.named_predictors()}


def save_program(
    program: dspy.Module,
    path: Path | str,
    *,
    student: dspy.Module,
    provenance: Mapping[str, str],
    known_until: datetime | None = None,
    report: Mapping[str, Any] | None = None,
) -> SavedProgram:
    """Writes the compiled `program` for modules like `student`, the one that was compiled. Raises AnswerError.

    The file appears whole or not at all. Language models, keys and traces are not saved.
    """
    path, signatures = Path(path), fingerprint(student)
    state = {name: {**part, **NOT_KEPT} for name, part in _state_of(program).items()}
    if set(state) != set(signatures):
        raise AnswerError(f"the program has the predictors {sorted(state)}, its student {sorted(signatures)}")
    saved = SavedProgram(
        dspy=version("dspy"),
        overfetch_answers=version("overfetch-answers"),
        provenance=dict(provenance),
        signatures=signatures,
        known_until=known_until,
        state=state,
        report=dict(report or {}),
    )
    try:
        text = json.dumps(saved.model_dump(), ensure_ascii=False, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AnswerError(f"{path} was not written: the program holds what is no JSON ({error})") from error
    _write(path, text + "\n")
    return saved


def read_program(path: Path | str) -> SavedProgram:
    """The file, checked for its form. Raises AnswerError."""
    try:
        content = Path(path).read_bytes()
        return SavedProgram.model_validate_json(content)
    except OSError as error:
        raise AnswerError(
            f"cannot read the program {path}: {error.strerror}; compile one: overfetch compile"
        ) from error
    except ValidationError as error:
        if DSPYS_OWN in content:
            raise AnswerError(
                f"{path} is DSPy's own file, which does not say what it was compiled for: give it to the module's "
                "`load`, or write it by overfetch_answers.save_program in place of `program.save`"
            ) from error
        raise AnswerError(f"{path} is no saved program ({error.error_count()} problems); compile it anew") from error


def load_program(
    student: Program, path: Path | str, *, provenance: Mapping[str, str], as_of: AsOf | None = None
) -> Program:
    """A copy of `student` with the saved state. Raises AnswerError, and ProgramMismatch naming every difference, also
    where it was compiled on what was not known `as_of`: its demonstrations and instructions tell of that.
    """
    path, saved = Path(path), read_program(path)
    require_known(saved, path, as_of)
    return restore_program(student, saved, path, provenance=provenance)


def restore_program(student: Program, saved: SavedProgram, path: Path, *, provenance: Mapping[str, str]) -> Program:
    """`load_program`, of what was read from that path."""
    differences = list(_differences(saved, fingerprint(student), provenance))
    if differences:
        raise ProgramMismatch(f"{path.name} does not fit: {'; '.join(differences)}. Compile it anew: overfetch compile")
    program: Program = student.deepcopy()
    program.load_state(saved.state)
    return program


def require_known(saved: SavedProgram, path: Path, as_of: AsOf | None) -> None:
    """Raises ProgramMismatch where it was compiled on what was not known `as_of`, or does not say until when."""
    if as_of is None:
        return
    if saved.known_until is None:
        raise ProgramMismatch(f"{path.name} does not say until when what it was compiled on was known")
    if saved.known_until > as_of.moment:
        until, then = saved.known_until.isoformat(), as_of.moment.isoformat()
        raise ProgramMismatch(f"{path.name} was compiled on what became known by {until}, after {then}")


def _state_of(program: dspy.Module) -> dict[str, dict[str, Any]]:
    try:
        state: dict[str, dict[str, Any]] = program.dump_state()
    except TypeError as error:
        raise AnswerError(
            f"DSPy cannot save this program ({error}); a retriever belongs into overfetch_answers.Retriever"
        ) from error
    return state


def _differences(
    saved: SavedProgram, signatures: Mapping[str, SignaturePrint], provenance: Mapping[str, str]
) -> Iterator[str]:
    for which, found in (("saved with", saved.dspy), ("running on", version("dspy"))):
        if Version(found) not in TESTED_DSPY:
            yield f"{which} DSPy {found}, tested are {TESTED_DSPY}"
    for name in dict.fromkeys((*saved.provenance, *provenance)):
        before, now = saved.provenance.get(name), provenance.get(name)
        if before != now:
            yield f"{name}: compiled with {before!r}, here {now!r}"
    for name in dict.fromkeys((*saved.signatures, *signatures)):
        if name not in signatures:
            yield f"predictor {name!r} is not in the module, which has {sorted(signatures)}"
        elif name not in saved.signatures:
            yield f"predictor {name!r} is not in the program, which has {sorted(saved.signatures)}"
        else:
            yield from _signature_differences(name, saved.signatures[name], signatures[name])


def _signature_differences(predictor: str, before: SignaturePrint, now: SignaturePrint) -> Iterator[str]:
    if before.instructions != now.instructions:
        yield f"{predictor}: the instructions changed"
    names = [[field.name for field in s.fields] for s in (before, now)]
    if names[0] != names[1]:
        yield f"{predictor}: fields were {', '.join(names[0])}; are {', '.join(names[1])}"
    fields = {field.name: field for field in now.fields}
    for field in before.fields:
        other = fields.get(field.name, field)
        for aspect in ("kind", "type", "prefix", "description"):
            old, new = getattr(field, aspect), getattr(other, aspect)
            if old != new:
                yield f"{predictor}.{field.name}: {aspect} was {_shown(old)}, is {_shown(new)}"


def _shown(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _print_of(signature: type[dspy.Signature]) -> SignaturePrint:
    inputs = signature.input_fields
    fields = [
        FieldPrint(
            name=name,
            kind="input" if name in inputs else "output",
            type=_schema(field.annotation),
            prefix=field.json_schema_extra["prefix"],
            description=field.json_schema_extra["desc"],
        )
        for name, field in signature.fields.items()
    ]
    return SignaturePrint(instructions=signature.instructions, fields=tuple(fields))


def _schema(annotation: Any) -> dict[str, Any]:
    try:
        return TypeAdapter(annotation).json_schema()
    except PydanticUserError:  # a type that pydantic does not know
        return {"python": repr(annotation)}


def _write(path: Path, text: str) -> None:
    """Whole or not at all, also where the power fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", encoding="utf-8", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).chmod(0o644)
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise AnswerError(f"cannot write {path}: {error.strerror}; choose another place with --out") from error

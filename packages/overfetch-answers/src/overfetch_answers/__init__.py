"""The DSPy bridge that Overfetch's site answer modules share."""

from overfetch_answers.guarding import (
    RetryCitations,
    answer_quality,
    citation_reward,
    citations_hold,
    explain_refusals,
    guarded,
    quality_with_feedback,
)
from overfetch_answers.language_model import build_language_model
from overfetch_answers.module import Grounded, GroundedModule
from overfetch_answers.passages import (
    MARKED,
    PASSAGES,
    QUOTES,
    Cited,
    NumberedPassage,
    Places,
    Quote,
    find_passage,
    mark,
    number_parts,
    number_passages,
    plain_title,
    show,
)
from overfetch_answers.programs import fingerprint, load_program, provenance_of, read_program, save_program
from overfetch_answers.retriever import Retriever
from overfetch_answers.running import Answers

__all__ = [
    "MARKED",
    "PASSAGES",
    "QUOTES",
    "Answers",
    "Cited",
    "Grounded",
    "GroundedModule",
    "NumberedPassage",
    "Places",
    "Quote",
    "Retriever",
    "RetryCitations",
    "answer_quality",
    "build_language_model",
    "citation_reward",
    "citations_hold",
    "explain_refusals",
    "find_passage",
    "fingerprint",
    "guarded",
    "load_program",
    "mark",
    "number_parts",
    "number_passages",
    "plain_title",
    "provenance_of",
    "quality_with_feedback",
    "read_program",
    "save_program",
    "show",
]

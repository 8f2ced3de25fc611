"""The DSPy bridge that Overfetch's site answer modules share."""

from overfetch_answers.language_model import build_language_model
from overfetch_answers.module import GroundedModule, citations_hold
from overfetch_answers.passages import (
    PASSAGES,
    QUOTES,
    NumberedPassage,
    Quote,
    cite,
    find_passage,
    number_parts,
    number_passages,
    show,
)
from overfetch_answers.retriever import Retriever
from overfetch_answers.running import answer_with, answer_with_async

__all__ = [
    "PASSAGES",
    "QUOTES",
    "GroundedModule",
    "NumberedPassage",
    "Quote",
    "Retriever",
    "answer_with",
    "answer_with_async",
    "build_language_model",
    "citations_hold",
    "cite",
    "find_passage",
    "number_parts",
    "number_passages",
    "show",
]

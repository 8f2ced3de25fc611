"""Two-stage retrieval: retrieve 20, read 20, keep 5."""

from overfetch.amounts import Amount, amounts_in, limits_in
from overfetch.answering import AnswerRequest, Draft
from overfetch.back_matter import without_back_matter
from overfetch.bm25 import Bm25
from overfetch.chunking import chunk_by_headings, split_at_headings
from overfetch.citations import Guarded, check_citations, guard, keep_valid, whole_sentences
from overfetch.comparisons import compared
from overfetch.corpus import FieldMap
from overfetch.engine import Engine
from overfetch.environment import Environment
from overfetch.errors import (
    AnswerError,
    CollectionMissing,
    CorpusError,
    DeadlineExceeded,
    ModelError,
    ModelMismatch,
    ModelNotPrepared,
    OverfetchError,
    Overloaded,
    ProgramMismatch,
    ProvenanceMismatch,
    RecallLoss,
    SettingsError,
    SiteError,
    StoreError,
    StoreLocked,
    StoreUnavailable,
)
from overfetch.filters import AnyOf, Condition, DateRange, FieldKind, FullText, NumberRange, parse_date
from overfetch.indexing import IndexReport
from overfetch.leaving import in_thread
from overfetch.markers import has_markers, renumber_markers
from overfetch.models import ModelSpec, Profile
from overfetch.periods import period_in
from overfetch.pieces import split_by_words
from overfetch.pipeline import retrieve
from overfetch.rare_words import is_rare, unheard
from overfetch.redacting import redacted
from overfetch.requests import AskOptions, AskRequest, SearchOptions, SearchRequest
from overfetch.settings import RetrievalSettings
from overfetch.sites import Collection, Site, load_site, site_names
from overfetch.sources import Record
from overfetch.spelling import humps, is_near, misspellings, runs, without_accents
from overfetch.telling import told
from overfetch.timespans import Period
from overfetch.token_counting import token_counter
from overfetch.types import (
    Answer,
    AnswerSoFar,
    AsOf,
    Chunk,
    Citation,
    Document,
    Hit,
    LanguageModel,
    Passage,
    Reading,
    RefusedCitation,
    Retrieval,
    Turn,
    Written,
)
from overfetch.understanding import Focus, Understood, absence, literally, looked_up
from overfetch.unwanted import parted, without_unwanted
from overfetch.vocabulary import Vocabulary
from overfetch.workspace import Workspace, open_reranker, open_site

__all__ = [
    "Amount",
    "Answer",
    "AnswerError",
    "AnswerRequest",
    "AnswerSoFar",
    "AnyOf",
    "AsOf",
    "AskOptions",
    "AskRequest",
    "Bm25",
    "Chunk",
    "Citation",
    "Collection",
    "CollectionMissing",
    "Condition",
    "CorpusError",
    "DateRange",
    "DeadlineExceeded",
    "Document",
    "Draft",
    "Engine",
    "Environment",
    "FieldKind",
    "FieldMap",
    "Focus",
    "FullText",
    "Guarded",
    "Hit",
    "IndexReport",
    "LanguageModel",
    "ModelError",
    "ModelMismatch",
    "ModelNotPrepared",
    "ModelSpec",
    "NumberRange",
    "OverfetchError",
    "Overloaded",
    "Passage",
    "Period",
    "Profile",
    "ProgramMismatch",
    "ProvenanceMismatch",
    "Reading",
    "RecallLoss",
    "Record",
    "RefusedCitation",
    "Retrieval",
    "RetrievalSettings",
    "SearchOptions",
    "SearchRequest",
    "SettingsError",
    "Site",
    "SiteError",
    "StoreError",
    "StoreLocked",
    "StoreUnavailable",
    "Turn",
    "Understood",
    "Vocabulary",
    "Workspace",
    "Written",
    "absence",
    "amounts_in",
    "check_citations",
    "chunk_by_headings",
    "compared",
    "guard",
    "has_markers",
    "humps",
    "in_thread",
    "is_near",
    "is_rare",
    "keep_valid",
    "limits_in",
    "literally",
    "load_site",
    "looked_up",
    "misspellings",
    "open_reranker",
    "open_site",
    "parse_date",
    "parted",
    "period_in",
    "redacted",
    "renumber_markers",
    "retrieve",
    "runs",
    "site_names",
    "split_at_headings",
    "split_by_words",
    "token_counter",
    "told",
    "unheard",
    "whole_sentences",
    "without_accents",
    "without_back_matter",
    "without_unwanted",
]

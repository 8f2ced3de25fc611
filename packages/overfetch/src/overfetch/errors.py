"""Everything that Overfetch raises on purpose.

OverfetchError
├── SettingsError          a setting, name, filter or argument is not allowed (exit code 2 on the command line)
├── ModelError
│   ├── ModelNotPrepared   the prepared files are not in the cache
│   └── ModelMismatch      the files are not the pinned ones
├── StoreError
│   ├── CollectionMissing  nothing was indexed under that name yet
│   ├── ProvenanceMismatch the collection was made by other models or another chunker
│   ├── StoreLocked        another process is writing this collection
│   └── StoreUnavailable   the server does not answer, or the folder cannot be used
├── RecallLoss             a new generation finds less than the live one; nothing was swapped (exit code 3)
├── CorpusError            a source file cannot be read; names file and line
├── SiteError              a site's own code failed, or gave what it must not
├── AnswerError            the language model or its module failed
│   └── ProgramMismatch    a compiled program was made for another signature, collection or model
├── Overloaded             too much waits to be scored already; later it may not
└── DeadlineExceeded       the request's deadline passed before a result existed
"""

from overfetch.redacting import redacted


class OverfetchError(Exception):
    """Base of every error raised on purpose; its message says what to do next, and never a key or a password."""

    def __init__(self, *parts: object) -> None:
        super().__init__(*(redacted(part) if isinstance(part, str) else part for part in parts))


class SettingsError(OverfetchError):
    """A setting, name, filter or argument is not allowed."""


class ModelError(OverfetchError):
    """A model cannot be fetched, loaded or run."""


class ModelNotPrepared(ModelError):
    """The prepared files of a model are not in the cache."""


class ModelMismatch(ModelError):
    """A model file is not the pinned one."""


class StoreError(OverfetchError):
    """The vector store failed."""


class CollectionMissing(StoreError):
    """Nothing was indexed under that name yet."""


class ProvenanceMismatch(StoreError):
    """The collection was made by other models or another chunker than the ones asked for."""


class StoreLocked(StoreError):
    """Another process is writing this collection."""


class StoreUnavailable(StoreError):
    """The server does not answer, or the folder cannot be used."""


class RecallLoss(OverfetchError):
    """A new generation finds less than the live one on the judged queries; it was not published."""


class CorpusError(OverfetchError):
    """A source cannot be read as documents; the message names file and line."""


class SiteError(OverfetchError):
    """A site's own code failed, or gave what it must not."""


class AnswerError(OverfetchError):
    """The language model or its answer module failed."""


class ProgramMismatch(AnswerError):
    """A compiled program was made for another signature, collection or model."""


class Overloaded(OverfetchError):
    """Too many sequences wait to be scored already."""


class DeadlineExceeded(OverfetchError):
    """The request's deadline passed before a result existed."""

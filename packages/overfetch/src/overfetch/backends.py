"""The only module that picks real backends, and only on call: nothing heavy is imported before it is needed."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from overfetch.environment import SERVER_SCHEMES, Environment
from overfetch.errors import SettingsError
from overfetch.extras import find_plugin, needing
from overfetch.forking import ProcessLock
from overfetch.models import ModelSpec
from overfetch.protocols import Embedder, ListOrder, ListReranker, LoadedReranker, RerankScores, Store, Vectors
from overfetch.tuned import TunedModel
from overfetch.tuned import require_intact as require_tuned
from overfetch.types import LanguageModel

Model = TypeVar("Model", bound=Embedder | LoadedReranker)


def open_store(environment: Environment) -> Store:
    """The store at `OVERFETCH_QDRANT`. Raises SettingsError naming the allowed forms."""
    address = environment.store_address
    if address.startswith("file:") and address != "file:":  # without a path: where one stands
        from overfetch.stores.edge import EdgeStore

        return EdgeStore(Path(address.removeprefix("file:")).expanduser())
    if address == ":memory:" or address.startswith(SERVER_SCHEMES):
        with needing("server"):
            from overfetch.stores.server import ServerStore

        return ServerStore(address, environment.server)
    raise SettingsError(f"OVERFETCH_QDRANT is {address!r}; allowed: file:PATH, :memory:, http(s)://..., grpc(s)://...")


def load_embedder(spec: ModelSpec, environment: Environment) -> Embedder:
    """The backend that runs it here, or at `OVERFETCH_EMBED_URL`."""
    server = environment.embed
    if server.url is not None:
        from overfetch.inference.remote import Endpoint, RemoteEmbedder

        return RemoteEmbedder(Endpoint(server.url, server.api_key, server.timeout_s), spec, server.model)
    folder, source = _intact_files(spec, environment)
    if source is not None:
        with needing("hub"):
            from overfetch.inference.hub import HubEmbedder

        return HubEmbedder(source, spec)
    from overfetch.inference.onnx import OnnxEmbedder

    return OnnxEmbedder(folder, spec, environment.threads)


def load_reranker(spec: ModelSpec, environment: Environment) -> LoadedReranker:
    """The backend that runs it here, or at `OVERFETCH_RERANK_URL`."""
    server = environment.rerank
    if server.url is not None:
        from overfetch.inference.remote import Endpoint, RemoteReranker

        return RemoteReranker(Endpoint(server.url, server.api_key, server.timeout_s), spec, server.api)
    folder, source = _intact_files(spec, environment)
    return _on_torch(source, spec, environment) if source else load_onnx_reranker(folder, spec, environment)


def _intact_files(spec: ModelSpec, environment: Environment) -> tuple[Path, Path | None]:
    """The model's folder and the hub's own files, where torch is to run them; those to be loaded are verified.

    Models of wheels are graphs already and have no others.
    """
    from overfetch.inference.preparing import SOURCE, require_intact

    folder = ready_folder(spec, environment)
    source = folder / SOURCE
    on_torch = environment.runner != "onnx" and source.exists()
    require_intact(spec, folder, source=on_torch)
    return folder, source if on_torch else None


def _on_torch(source: Path, spec: ModelSpec, environment: Environment) -> LoadedReranker:
    windows = environment.reads_windows
    if environment.runner == "transformers":
        with needing("hub"):
            from overfetch.inference.classifier import TransformersReranker

        return TransformersReranker(source, spec, windows=windows)
    if environment.runner == "flagembedding":
        with needing("hub"):
            from overfetch.inference.flag_embedding import FlagEmbeddingReranker

        return FlagEmbeddingReranker(source, spec, windows=windows)
    with needing("hub"):
        from overfetch.inference.hub import HubReranker

    return HubReranker(source, spec, windows=windows)


def load_onnx_reranker(folder: Path, spec: ModelSpec, environment: Environment) -> LoadedReranker:
    from overfetch.inference.caching import shared_cache
    from overfetch.inference.onnx import OnnxReranker

    remembered = shared_cache(environment.cached_scores, environment.scores_file)
    return OnnxReranker(folder, spec, environment.threads, remembered, windows=environment.reads_windows)


def load_tuned_reranker(folder: Path, tuned: TunedModel, environment: Environment) -> LoadedReranker:
    """Raises ModelMismatch where its files are not those that were installed."""
    require_tuned(folder, tuned)
    return load_onnx_reranker(folder, tuned.spec, environment)


def list_reranker(environment: Environment) -> ListReranker | None:
    """What orders whole lists, where `OVERFETCH_RERANK_LM` asks for it; its orders are remembered."""
    if environment.list_model is None:
        return None
    return LazyLister(partial(_load_lister, environment.list_model, environment))


def _load_lister(lm: LanguageModel, environment: Environment) -> ListReranker:
    """Raises SettingsError where overfetch-answers is not installed."""
    from overfetch.inference.orders import Remembering, shared_orders

    lister: ListReranker = find_plugin("listwise", "OVERFETCH_RERANK_LM")(lm)
    return Remembering(lister, lm, shared_orders(environment.cached_scores, environment.scores_file))


def ready_folder(spec: ModelSpec, environment: Environment) -> Path:
    """Where the files of the model are.

    Raises SettingsError where a server runs it, and nothing of it is here, and ModelNotPrepared naming the command.
    """
    from overfetch.inference.preparing import prepared_folder

    if spec.precision == "remote":
        raise SettingsError(
            f"{spec.repo} is not on this machine; unset OVERFETCH_RERANK_URL to work on the profile's own"
        )
    return prepared_folder(spec, environment.cache)


class Lazy(Generic[Model]):
    """Loads once, on first use, whichever thread comes first."""

    def __init__(self, spec: ModelSpec, load: Callable[[], Model]) -> None:
        self._spec = spec
        self._load = load
        self._model: Model | None = None
        self._loading, self._warming = ProcessLock(), ProcessLock()
        self._is_warm = False

    @property
    def spec(self) -> ModelSpec:
        """Of what runs, once it does: only then is it known in which precision."""
        return self._spec if self._model is None else self._model.spec

    @property
    def model(self) -> Model:
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model

    def warm_up(self) -> None:
        """Once, for all who share it."""
        with self._warming:
            if not self._is_warm:
                self.model.warm_up()
                self._is_warm = True


class LazyEmbedder(Lazy[Embedder]):
    """An Embedder that loads on first use."""

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.model.embed_queries(texts)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        return self.model.embed_passages(texts)

    def count_truncated(self, passages: Sequence[str]) -> int | None:
        return self.model.count_truncated(passages)


class LazyReranker(Lazy[LoadedReranker]):
    """A Reranker that loads on first use; those of other budgets share its model."""

    def __init__(self, spec: ModelSpec, load: Callable[[], LoadedReranker]) -> None:
        super().__init__(spec, load)
        self._others: dict[int, LazyReranker] = {}

    def within(self, tokens: int | None) -> "LazyReranker":
        """It, reading so many tokens a query, 0: all; itself where that is None, or what it does."""
        spec = self.spec.within(tokens)
        if tokens is None or spec == self.spec:
            return self
        return self._others.setdefault(tokens, LazyReranker(spec, lambda: self.model.within(tokens)))

    def score(self, query: str, passages: Sequence[str], deadline: float | None = None) -> RerankScores:
        return self.model.score(query, passages, deadline)


class LazyLister:
    """A ListReranker that loads on first use."""

    def __init__(self, load: Callable[[], ListReranker]) -> None:
        self._load = load
        self._loading = ProcessLock()
        self._lister: ListReranker | None = None

    @property
    def lister(self) -> ListReranker:
        with self._loading:
            if self._lister is None:
                self._lister = self._load()
            return self._lister

    @property
    def identity(self) -> str:
        return self.lister.identity

    def warm_up(self) -> None:
        self.lister.warm_up()

    def order(self, query: str, passages: Sequence[str], deadline: float | None = None, parts: int = 1) -> ListOrder:
        return self.lister.order(query, passages, deadline, parts)

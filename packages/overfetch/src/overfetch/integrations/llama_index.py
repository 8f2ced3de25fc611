"""Overfetch's cross-encoders in LlamaIndex. Needs the extra: `uv add 'overfetch[llama-index]'`."""

import math
from collections.abc import Sequence
from typing import Any

from overfetch.environment import read_environment
from overfetch.errors import SettingsError
from overfetch.leaving import in_thread
from overfetch.ordering import combine
from overfetch.protocols import Reranker
from overfetch.workspace import open_reranker

try:
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.callbacks import CBEventType, EventPayload
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ImportError as error:
    raise ImportError("LlamaIndex is not installed: uv add 'overfetch[llama-index]'") from error


class OverfetchRerank(BaseNodePostprocessor):
    """Keeps the `top_n` nodes that a cross-encoder finds best, in place of LlamaIndex's SentenceTransformerRerank.

    The reranker is that of `profile` (by default `OVERFETCH_PROFILE`), or the one handed over. `metadata_mode` is what
    it reads of a node: by default, as there, the text with the metadata meant for embedding; `MetadataMode.NONE` is
    the text alone. The nodes given are not changed: the result holds the same nodes, or with `keep_retrieval_score`
    copies that name it in their metadata, under new scores. A score is the raw logit; where the model's fitted share
    in the order is less than 1 (see ModelSpec) and every node has a retrieval score, it is of both, standardised.
    A copy by pickle opens the profile's reranker again; with a reranker handed over there is none.
    """

    profile: str | None = Field(default=None, description="Profile whose reranker reads the nodes.")
    top_n: int = Field(default=2, gt=0, description="Number of nodes to return sorted by score.")
    metadata_mode: MetadataMode = Field(default=MetadataMode.EMBED, description="What is read of a node.")
    keep_retrieval_score: bool = Field(default=False, description="Whether to name it in a copy's metadata.")
    _reranker: Any = PrivateAttr()
    _handed_over: bool = PrivateAttr(default=False)

    def __init__(self, *, reranker: Reranker | None = None, **fields: Any) -> None:
        """Raises SettingsError on an unknown field or profile."""
        known = type(self).model_fields.keys()
        if unknown := fields.keys() - known - {"class_name"}:  # which LlamaIndex writes beside them
            raise SettingsError(f"unknown field {min(unknown)!r}; allowed: reranker, {', '.join(sorted(known))}")
        super().__init__(**fields)
        self._handed_over = reranker is not None
        if reranker is None:
            # By name, so that a copy elsewhere has the same one whatever its environment says.
            self.profile = read_environment().pair(self.profile).name
        self._reranker = reranker if reranker is not None else open_reranker(self.profile)

    def __getstate__(self) -> dict[str, Any]:
        """Raises SettingsError where another process would open another reranker than the one handed over."""
        self._require_named()
        state: dict[str, Any] = super().__getstate__()
        return state

    def to_dict(self, **options: Any) -> dict[str, Any]:
        """Raises SettingsError as `__getstate__`."""
        self._require_named()
        fields: dict[str, Any] = super().to_dict(**options)
        return fields

    def _require_named(self) -> None:
        if self._handed_over:
            raise SettingsError("a reranker that was handed over is not kept: name a profile instead")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises SettingsError where the profile is not known here."""
        self.__init__(**state["__dict__"])  # type: ignore[misc]

    @classmethod
    def class_name(cls) -> str:
        return "OverfetchRerank"

    def _postprocess_nodes(
        self, nodes: Sequence[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Raises SettingsError without a query, and what the reranker raises."""
        if query_bundle is None:
            raise SettingsError("a cross-encoder reads nodes together with a query: pass query_str or query_bundle")
        query = query_bundle.query_str
        if not query.strip():
            raise SettingsError(f"the query is empty (given {query!r}); write what to rank the nodes by")
        payload = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self._reranker.spec.name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            kept = self._best(nodes, self._scores(query, nodes))
            event.on_end(payload={EventPayload.NODES: kept})
        return kept

    async def _apostprocess_nodes(
        self, nodes: Sequence[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """In a worker thread: the event loop stays free, and a cancelled task stops the reading between runs."""
        return await in_thread(self._postprocess_nodes, nodes, query_bundle)

    def _scores(self, query: str, nodes: Sequence[NodeWithScore]) -> Sequence[float]:
        texts = [node.node.get_content(metadata_mode=self.metadata_mode) for node in nodes]
        logits = self._reranker.score(query, texts).logits
        # NaN and infinity tell as little as no score does.
        retrieved = [node.score for node in nodes if node.score is not None and math.isfinite(node.score)]
        weight = self._reranker.spec.order_weight if len(retrieved) == len(nodes) else 1.0
        return combine(retrieved, logits, weight)

    def _best(self, nodes: Sequence[NodeWithScore], scores: Sequence[float]) -> list[NodeWithScore]:
        ranked = sorted(zip(nodes, scores, strict=True), key=lambda pair: -pair[1])
        return [NodeWithScore(node=self._kept(node), score=score) for node, score in ranked[: self.top_n]]

    def _kept(self, node: NodeWithScore) -> Any:
        if not self.keep_retrieval_score:
            return node.node
        return node.node.model_copy(update={"metadata": {**node.node.metadata, "retrieval_score": node.score}})

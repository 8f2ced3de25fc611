"""Models that run: preparing them once, and the backends behind `Embedder` and `Reranker`."""

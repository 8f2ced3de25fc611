"""Fine-tuning a reranker on a collection's own judged queries."""

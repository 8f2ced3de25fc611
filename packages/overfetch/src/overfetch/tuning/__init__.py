"""Fine-tuning a reranker on a collection's own judged queries."""

EPOCHS = 3  # of tuning, unless told otherwise

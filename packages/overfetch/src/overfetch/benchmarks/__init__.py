"""Comparisons in one process, interleaved round by round, so that a noisy machine disturbs all alike."""

MODELS = ("minilm-l6", "bge-reranker-base", "ettin-17m", "ettin-32m", "ettin-68m")

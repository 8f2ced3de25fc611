"""Models that run: preparing them once, and the backends behind `Embedder` and `Reranker`."""

import os

# onnxruntime's official builds send usage events to their maker unless this is set before they load (its Privacy.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

"""What importing costs: each check runs in a process of its own."""

import subprocess
import sys

HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "dspy",
    "litellm",
    "qdrant_client",
    "onnxruntime",
    "llama_index",
)
SLOW = ("asyncio", "httpx", "markdown_it", "numpy", "yaml")


def imported_by(code: str, *arguments: str, watched: tuple[str, ...] = HEAVY) -> set[str]:
    """Which of the watched packages are loaded when the code has run."""
    ending = f"\nimport sys\nprint('loaded:', *(name for name in {watched!r} if name in sys.modules), file=sys.stderr)"
    command = [sys.executable, "-c", code + ending, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return set(result.stderr.splitlines()[-1].removeprefix("loaded:").split())

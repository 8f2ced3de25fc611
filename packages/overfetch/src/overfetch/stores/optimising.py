"""Builds the search index of an Edge shard in a process of its own: the engine holds the GIL meanwhile, for minutes.

The child takes a lock before it touches the shard, and keeps it if its parent dies; the next writer waits for it.
Run as a script, so that it imports nothing but the engine.
"""

import subprocess
import sys
from pathlib import Path

from filelock import FileLock
from qdrant_edge import EdgeShard

READY, GO = "ready\n", "go\n"


def optimise(shard: Path, lock: Path) -> None:
    """Optimises and flushes a shard that nobody has open. Raises RuntimeError with what the child complained of."""
    command = [sys.executable, __file__, str(shard), str(lock)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()  # not before the child has the lock may it be told to go
            _, complaints = child.communicate(GO)
        except BaseException:
            child.kill()
            raise
    if child.returncode != 0:
        said = complaints.strip().splitlines()[-1:] or [
            f"exit code {child.returncode}; is there enough room on the disk, and memory?"
        ]
        raise RuntimeError(f"building the search index failed: {said[0]}")


def _run(shard: str, lock: str) -> None:
    with FileLock(lock):
        sys.stdout.write(READY)
        sys.stdout.flush()
        if sys.stdin.readline() == GO:  # else whoever asked is dead, and others may write the shard
            opened = EdgeShard.load(shard)
            if opened.optimize():
                opened.flush()
            opened.close()


if __name__ == "__main__":
    _run(*sys.argv[1:])

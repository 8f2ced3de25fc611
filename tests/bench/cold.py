"""What a new process costs until its first search is answered, on the mini profile: CPU seconds and memory.

uv run overfetch index builddaily
uv run python tests/bench/cold.py
"""

import resource

from overfetch import open_site


def main() -> None:
    with open_site("builddaily") as engine:
        retrieval = engine.search("chat", "What is Sage Daily?")
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds, megabytes = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{seconds:.2f} s of CPU time, {megabytes:.0f} MB, rerank: {retrieval.rerank_status}")


if __name__ == "__main__":
    main()

"""Files of the state folder, which all workers of the service share."""

import sqlite3
from pathlib import Path


def open_state(path: Path, patience_s: float, *lines: str) -> sqlite3.Connection:
    """After `lines`; `patience_s` for another worker that writes. Raises sqlite3.Error and OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = sqlite3.connect(path, timeout=patience_s, isolation_level=None, check_same_thread=False)
    try:
        for line in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=OFF", *lines):
            file.execute(line)
    except sqlite3.Error:  # damaged, full, locked
        file.close()
        raise
    return file

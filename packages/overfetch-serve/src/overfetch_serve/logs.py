"""Logs of the service: a JSON document a line, one for each request, without the text of queries unless asked for."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from overfetch.redacting import redacted
from overfetch_serve.seen import current

REQUESTS = logging.getLogger("overfetch_serve.requests")

# For uvicorn, which hands it to `logging.config`.
CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "overfetch_serve.logs.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {name: {"level": "INFO"} for name in ("overfetch", "overfetch_serve", "uvicorn")},
}


class JsonLines(logging.Formatter):
    """Time, level, logger and message; the request's id where it belongs to one; and what `fields` hold."""

    def format(self, record: logging.LogRecord) -> str:
        seen = current.get()
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
            **({"request_id": seen.request_id} if seen else {}),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, default=str)

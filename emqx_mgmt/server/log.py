"""Logging to stderr: one line an event."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson

from emqx_mgmt.settings import Settings


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(event).decode()


def logging_config(settings: Settings) -> dict[str, Any]:
    """For `logging.config.dictConfig`, and for gunicorn, which calls that for us at start and after HUP."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": "%(asctime)s [%(levelname)s] %(message)s", "datefmt": "%Y-%m-%dT%H:%M:%S%z"},
            "json": {"()": JsonFormatter},
        },
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": settings["log.format"]},
        },
        "root": {"level": settings["log.level"].upper(), "handlers": ["stderr"]},
        "loggers": {
            # What gunicorn says of its own life is ours to say.
            "gunicorn.error": {"level": "WARNING", "handlers": [], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
        },
    }

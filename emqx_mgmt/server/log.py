"""Logging to stderr: one line an event."""

from __future__ import annotations

import logging
import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import orjson

from emqx_mgmt.settings import Settings

LINES = 20
PERIOD_S = 10.0

log = logging.getLogger(__name__)


class Bounded(logging.Filter):
    """For loggers that strangers can make write. Of the lines from one place in the code LINES get through in a period,
    then one says how many more there were."""

    def __init__(self) -> None:
        super().__init__()
        self._began = 0.0
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        self.tell()
        place = record.name, record.levelname.lower(), record.lineno
        self._counts[place] += 1
        return self._counts[place] <= LINES

    def tell(self) -> None:
        """Begins a new period once the old one is over. To be called now and then: floods end."""
        now = time.monotonic()
        if now - self._began < PERIOD_S:
            return
        counts, seconds = self._counts, now - self._began
        self._counts, self._began = Counter(), now
        for (name, level, _), count in counts.items():
            if count > LINES:
                log.warning("%d more lines of %s (%s) in %d seconds", count - LINES, name, level, seconds)


# One, however often the logging is configured: filters are added, never taken away.
BOUNDED = Bounded()


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
        "filters": {"bounded": {"()": lambda: BOUNDED}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": settings["log.format"]},
        },
        "root": {"level": settings["log.level"].upper(), "handlers": ["stderr"]},
        "loggers": {
            # What gunicorn says of its own life is ours to say.
            "gunicorn.error": {"level": "WARNING", "handlers": [], "filters": ["bounded"], "propagate": True},
            "gunicorn.access": {"level": "WARNING", "handlers": [], "propagate": False},
            "emqx_mgmt.broker.broker": {"filters": ["bounded"]},
            "emqx_mgmt.broker.verdicts": {"filters": ["bounded"]},
        },
    }
